/** Findings as they come, bounded. */
import { type Finding, type FindingCode, isHarm, isProblem } from "./findings.ts";

/** Findings that are kept; more are counted. */
const FINDINGS_MAX = 10_000;
/** Of one kind in one account so many are repaired at a time. */
export const ITEMS_MAX = 10_000;
/** Examples that a sentence names. */
const EXAMPLES_MAX = 3;
/** Of what a file or SQLite says so much is quoted. */
const DETAIL_CHARS_MAX = 1_000;

export class FindingsList {
  readonly all: Finding[] = [];
  leftOut = 0;
  problems = 0;
  harms = 0;
  notes = 0;

  add(finding: Omit<Finding, "count"> & { readonly count?: number }): void {
    this.#count(finding, 1);
    if (this.all.length >= FINDINGS_MAX) {
      this.leftOut += 1;
      return;
    }
    this.all.push({ count: 1, ...finding, detail: finding.detail.slice(0, DETAIL_CHARS_MAX) });
  }

  filesOf(code: FindingCode): Set<string> {
    return new Set(this.all.flatMap((finding) => (finding.code === code && finding.file) || []));
  }

  /** Takes back what another finding explains. */
  forget(did: string, codes: readonly FindingCode[]): void {
    for (let at = this.all.length - 1; at >= 0; at--) {
      const finding = this.all[at];
      if (finding?.did !== did || !codes.includes(finding.code)) continue;
      this.all.splice(at, 1);
      this.#count(finding, -1);
    }
  }

  #count(finding: Pick<Finding, "code">, by: number): void {
    if (isHarm(finding)) this.harms += by;
    if (isProblem(finding)) this.problems += by;
    else this.notes += by;
  }
}

/** Many of one kind, which become one finding. */
export class Gathered {
  readonly #examples: string[] = [];
  readonly items: string[] = [];
  count = 0;

  /** `item` is what a repair needs to know. */
  add(example: string, item?: string): void {
    this.count += 1;
    if (this.#examples.length < EXAMPLES_MAX) this.#examples.push(example);
    if (item !== undefined && this.items.length < ITEMS_MAX) this.items.push(item);
  }

  /** Adds the finding where there is any. */
  tell(
    findings: FindingsList,
    finding: { code: FindingCode; what: string } & Partial<Pick<Finding, "did" | "handle" | "file">>,
  ): void {
    if (this.count === 0) return;
    const { what, ...rest } = finding;
    const more = this.count > this.#examples.length ? ", ..." : "";
    findings.add({
      ...rest,
      detail: `${what} (${this.count}): ${this.#examples.join(", ")}${more}`,
      count: this.count,
      ...(this.items.length > 0 ? { items: this.items } : {}),
    });
  }
}
