/** What an app keeps of its member at the server: feeds, muted words, the birth date. */
import { isDeepStrictEqual } from "node:util";
import type { Turn } from "./move_machine.ts";
import type { StepContext } from "./step_context.ts";

/** Made by a server out of the birth date, never stored. */
const MADE_BY_SERVER = "app.bsky.actor.defs#declaredAgePref";

export async function copyPreferences({ source, target, reporter }: StepContext): Promise<Turn> {
  const theirs = await storedPreferences(source);
  if (theirs === undefined) {
    reporter.note(`"${source.url}" keeps no preferences`);
    return "on";
  }
  if (theirs.length === 0) return "on";
  await target.putPreferences(theirs);
  reporter.note(`brought ${theirs.length} preferences over`);
  return "on";
}

/** Whether both have the same; where the source keeps none there is nothing to compare. */
export async function samePreferences({ source, target }: Pick<StepContext, "source" | "target">): Promise<{
  count: number | undefined;
  isSame: boolean;
}> {
  const theirs = await storedPreferences(source);
  if (theirs === undefined || theirs.length === 0) return { count: theirs?.length, isSame: true };
  const here = (await storedPreferences(target)) ?? [];
  const sorted = (list: readonly unknown[]) => list.map((entry) => Bun.hash(canonical(entry))).sort();
  return { count: theirs.length, isSame: isDeepStrictEqual(sorted(theirs), sorted(here)) };
}

async function storedPreferences(host: StepContext["source"]): Promise<readonly unknown[] | undefined> {
  const all = await host.preferences();
  return all?.filter((entry) => (entry as { $type?: unknown } | null)?.$type !== MADE_BY_SERVER);
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}
