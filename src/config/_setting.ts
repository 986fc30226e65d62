import type { z } from "zod";

/** One setting that kith honours. */
export interface Setting<T = unknown> {
  readonly group: string;
  /** What it does, in whole sentences without line breaks. */
  readonly help: string;
  /** The value that holds when it is not set, in words where it depends on others. */
  readonly fallback: string;
  /** A value to show in the example file. */
  readonly example: string;
  /** A secret is never printed, and has a `NAME_FILE` variant. */
  readonly secret: boolean;
  /** True where an empty value means "none"; elsewhere empty is the same as not set. */
  readonly emptyMeans: "unset" | "none";
  readonly schema: z.ZodType<T, string>;
}

type Shown<T> = Pick<Setting<T>, "group" | "help" | "fallback" | "schema"> &
  Partial<Pick<Setting<T>, "example" | "secret" | "emptyMeans">>;

/** Completes a row of the table. */
export function setting<T>(row: Shown<T>): Setting<T> {
  return { secret: false, emptyMeans: "unset", example: row.fallback, ...row };
}
