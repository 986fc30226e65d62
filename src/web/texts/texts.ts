import type { en } from "./en.ts";

/** Everything that pages say. English is written first; a language that leaves out a text does not compile. */
export type Texts = typeof en;
