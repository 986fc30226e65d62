/** What a health check says, in the reader's language. */
import { formatBytes, formatSpan, formatTime, type Locale } from "../locale.ts";
import type { Texts } from "../texts/texts.ts";
import { textsOf } from "../texts_of.ts";

export type AdminCheckName = keyof Texts["admin"]["checks"];
export type AdminCheckState = keyof Texts["admin"]["state"];
export type AdminCheckReason = keyof Texts["admin"]["reasons"];

/** Times are Unix ms. */
export interface AdminCheck {
  readonly name: AdminCheckName;
  readonly state: AdminCheckState;
  readonly reason: AdminCheckReason;
  readonly since: number;
  readonly values: {
    readonly freeBytes?: number;
    readonly sizeBytes?: number;
    readonly at?: number;
    readonly count?: number;
    readonly ms?: number;
    readonly problem?: string;
    readonly relay?: string;
  };
}

export interface CheckSentences {
  readonly title: string;
  readonly summary: string;
  /** What to do; undefined where all is well. */
  readonly todo: string | undefined;
}

export function checkSentences(
  { name, state, reason, values }: AdminCheck,
  { locale, t = textsOf(locale) }: { locale: Locale; t?: Texts },
): CheckSentences {
  const { checks, reasons, todo } = t.admin;
  const { freeBytes = 0, sizeBytes = 0, at, count = 0, ms = 0, problem = "", relay = "" } = values;
  const summary = reasons[reason]({
    free: formatBytes(freeBytes, locale),
    size: formatBytes(sizeBytes, locale),
    at: at === undefined ? "" : formatTime(new Date(at), locale),
    span: ms === 0 ? "" : formatSpan(ms, locale),
    count,
    // It is followed by a full stop of ours.
    problem: problem.replace(/[.\s]+$/, ""),
    relay,
  });
  const what = reason in todo ? todo[reason as keyof typeof todo] : undefined;
  return { title: checks[name], summary, todo: state === "ok" ? undefined : what };
}
