/** The browser that the tests and the pictures of the pages are made with. */
import { existsSync } from "node:fs";

export const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** What is wrong and how to mend it, where there is no Chromium. */
export function chromiumProblem(): string | undefined {
  if (existsSync(CHROMIUM)) return undefined;
  return `there is no "${CHROMIUM}": install Chromium (apt-get install chromium fonts-liberation), or name one by CHROMIUM`;
}
