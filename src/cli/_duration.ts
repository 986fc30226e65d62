import { textOf, UsageError } from "./admin_command.ts";
import type { Arguments } from "./command.ts";

const UNITS_S: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3_600, d: 86_400 };

/** Milliseconds that an option like "30m" stands for. Throws UsageError. */
export function durationOf(given: Arguments, name: string, absent: number): number {
  const text = textOf(given, name);
  if (text === undefined) return absent;
  const [, count = "", unit = ""] = /^([0-9]{1,6})([smhd])$/.exec(text) ?? [];
  const unitS = UNITS_S[unit];
  if (unitS !== undefined) return Number(count) * unitS * 1_000;
  throw new UsageError(`"--${name}" is a time such as 90s, 30m, 12h or 7d, not "${text}"`);
}

/** How long something has been, as people say it: the two largest units. */
export function ageOf(seconds: number): string {
  const parts = (["d", "h", "m", "s"] as const).map((unit, at, all) => {
    const above = UNITS_S[all[at - 1] ?? ""];
    const left = above === undefined ? seconds : seconds % above;
    return [Math.floor(left / (UNITS_S[unit] ?? 1)), unit] as const;
  });
  const first = parts.findIndex(([count]) => count > 0);
  const shown = parts.slice(first < 0 ? -1 : first).slice(0, 2);
  return shown
    .filter(([count], at) => at === 0 || count > 0)
    .map(([count, unit]) => `${count}${unit}`)
    .join(" ");
}
