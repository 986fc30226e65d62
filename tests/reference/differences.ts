/** The differences that are meant, as docs/differences.md lists them: each has an id there, and here what it looks like. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { RULES, type Rule } from "./difference_rules.ts";

const PAGE = join(import.meta.dir, "../../docs/differences.md");

/** The ids in the first column of the page's tables. */
function listedIds(): string[] {
  return [...readFileSync(PAGE, "utf8").matchAll(/^\| `([a-z0-9-]+)`/gm)].map((match) => match[1] as string);
}

export class Differences {
  readonly #used = new Set<Rule>();
  #met = 0;

  /** The lines that no rule explains. */
  unexplained({ to, title }: { to: string; title: string }, lines: readonly string[]): string[] {
    return lines.filter((line) => {
      const rule = RULES.find(
        (one) => one.line.test(line) && (one.to?.test(to) ?? true) && (one.title?.test(title) ?? true),
      );
      if (rule) this.#used.add(rule);
      this.#met += 1;
      return !rule;
    });
  }

  /** Ids that the page lists and no rule knows, rules whose id it does not list, and rules that no call has needed. */
  stale(): string[] {
    const listed = new Set(listedIds());
    const known = new Set(RULES.map(({ id }) => id));
    return [
      ...[...listed].filter((id) => !known.has(id)).map((id) => `listed, but without a rule: ${id}`),
      ...[...known].filter((id) => !listed.has(id)).map((id) => `not listed: ${id}`),
      ...RULES.filter((rule) => !this.#used.has(rule)).map(({ id, line }) => `not met: ${id} ${line}`),
    ];
  }

  summary(): string {
    return `${this.#met} differing lines by ${new Set([...this.#used].map(({ id }) => id)).size} listed differences`;
  }
}
