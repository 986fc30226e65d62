/** The text format of Prometheus. https://prometheus.io/docs/instrumenting/exposition_formats/ */

export const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

export type Labels = Readonly<Record<string, string>>;
export type Sample = readonly [labels: Labels, value: number];

export interface Family {
  readonly name: string;
  readonly help: string;
}

export class MetricsText {
  readonly #lines: string[] = [];

  /** A value that only rises; its name ends with _total. What is undefined is left out. */
  counter(family: Family, samples: number | undefined | readonly Sample[]): void {
    this.#family("counter", family, samples);
  }

  /** A value that goes up and down. What is undefined is left out. */
  gauge(family: Family, samples: number | undefined | readonly Sample[]): void {
    this.#family("gauge", family, samples);
  }

  /** `counts` has one number for each bucket and one for what is above the last; each is of its bucket alone. */
  histogram(
    { name, help }: Family,
    {
      bounds,
      series,
    }: {
      bounds: readonly number[];
      series: readonly { labels: Labels; counts: readonly number[]; sum: number }[];
    },
  ): void {
    this.#head("histogram", { name, help });
    for (const { labels, counts, sum } of series) {
      let below = 0;
      for (const [at, count] of counts.entries()) {
        below += count;
        const bound = bounds[at];
        this.#sample(
          `${name}_bucket`,
          { ...labels, le: bound === undefined ? "+Inf" : String(bound) },
          below,
        );
      }
      this.#sample(`${name}_sum`, labels, sum);
      this.#sample(`${name}_count`, labels, below);
    }
  }

  toString(): string {
    return `${this.#lines.join("\n")}\n`;
  }

  #family(type: string, family: Family, samples: number | undefined | readonly Sample[]): void {
    const all: readonly Sample[] = typeof samples === "number" ? [[{}, samples]] : (samples ?? []);
    if (all.length === 0) return;
    this.#head(type, family);
    for (const [labels, value] of all) this.#sample(family.name, labels, value);
  }

  #head(type: string, { name, help }: Family): void {
    const words = help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
    this.#lines.push(`# HELP ${name} ${words}`, `# TYPE ${name} ${type}`);
  }

  #sample(name: string, labels: Labels, value: number): void {
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`);
    this.#lines.push(`${name}${pairs.length === 0 ? "" : `{${pairs.join(",")}}`} ${numberOf(value)}`);
  }
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
}

function numberOf(value: number): string {
  if (Number.isFinite(value)) return String(value);
  return Number.isNaN(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
}
