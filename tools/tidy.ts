/** House rules that no linter knows: file names, file length, markers that must not land. Prints one line a finding. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** A source file longer than this is a place to split; tables of tests are excepted. */
const FILE_LINES_MAX = 500;
const NAME = /^_?[a-z0-9]+(_[a-z0-9]+)*(\.d)?\.ts$/;
const BANNED_NAMES = new Set(["index.ts", "utils.ts", "helpers.ts", "misc.ts"]);

/** What is wrong with one file, given its path from the root and its text. */
export function judgeFile(path: string, text: string): string[] {
  const name = path.split("/").at(-1) ?? path;
  const findings: string[] = [];
  const lines = text.split("\n").length - 1;
  if (!NAME.test(name)) findings.push(`is not named in snake_case`);
  if (BANNED_NAMES.has(name)) findings.push(`says nothing by its name`);
  if (lines > FILE_LINES_MAX && !name.endsWith("_test.ts"))
    findings.push(`has ${lines} lines: ${FILE_LINES_MAX} at most`);
  if (/\b(test|it|describe)\.(only|skip|todo)\(/.test(text))
    findings.push(`has a test that is skipped or alone`);
  if (/\b(FIXME|XXX)\b/.test(text) && name !== "tidy.ts") findings.push(`has a FIXME`);
  return findings.map((finding) => `${path}: ${finding}`);
}

if (import.meta.main) {
  const root = join(import.meta.dir, "..");
  const paths = ["src", "tests", "tools", "bench"]
    .filter((folder) => existsSync(join(root, folder)))
    .flatMap((folder) =>
      [...new Bun.Glob("**/*.ts").scanSync({ cwd: join(root, folder) })]
        .filter((path) => !path.includes("node_modules") && !path.startsWith("lexicons/types/"))
        .map((path) => `${folder}/${path}`),
    );
  const findings = paths.flatMap((path) => judgeFile(path, readFileSync(join(root, path), "utf8")));
  for (const finding of findings) console.error(finding);
  console.log(`tidy: ${paths.length} files, ${findings.length} findings`);
  process.exit(findings.length === 0 ? 0 : 1);
}
