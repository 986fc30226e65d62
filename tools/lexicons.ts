/**
 * Writes src/lexicons/, the typed code of our own lexicons, from lexicons/. `--check` writes nothing, and fails where what
 * is there is not what would be written.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const TARGET = join(ROOT, "src/lexicons");
const GENERATOR = join(ROOT, "node_modules/@atcute/lex-cli/cli.mjs");
const HEADER =
  "/** Our own lexicons (dev.kith.*), as typed schemas. Written by tools/lexicons.ts from lexicons/: do not edit. */\n";
const CONFIG = {
  generate: {
    files: ["lexicons/**/*.json"],
    outdir: "out",
    modules: { importSuffix: ".ts" },
    formatter: { type: "kempt", useTabs: false, indentWidth: 2, lineWidth: 110 },
  },
};

/** The generated files by their paths from src/lexicons. Throws with the generator's words where a lexicon is not valid. */
export function generate(lexicons: string): Map<string, string> {
  // The generator takes paths below its configuration only.
  const folder = mkdtempSync(join(tmpdir(), "kith-lexicons-"));
  try {
    cpSync(lexicons, join(folder, "lexicons"), { recursive: true });
    const config = join(folder, "lex.config.js");
    writeFileSync(config, `export default ${JSON.stringify(CONFIG)};\n`);
    const run = Bun.spawnSync([process.execPath, GENERATOR, "generate", "-c", config], {
      cwd: folder,
      stdout: "pipe",
      stderr: "pipe",
    });
    const out = join(folder, "out");
    if (run.exitCode !== 0 || !existsSync(out)) {
      throw new Error(
        `Could not generate from "${lexicons}": ${run.stdout.toString()}${run.stderr.toString()}`,
      );
    }
    const files = filesBelow(out);
    files.set("mod.ts", HEADER + (files.get("index.ts") ?? ""));
    files.delete("index.ts");
    return files;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Every file below a folder, by its path from there. */
function filesBelow(folder: string): Map<string, string> {
  const paths = existsSync(folder) ? [...new Bun.Glob("**/*.ts").scanSync({ cwd: folder })].sort() : [];
  return new Map(paths.map((path) => [path, readFileSync(join(folder, path), "utf8")]));
}

/** The paths whose texts differ, or that only one of the two has. */
export function differences(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): string[] {
  return [...new Set([...a.keys(), ...b.keys()])].filter((path) => a.get(path) !== b.get(path)).sort();
}

if (import.meta.main) {
  const wanted = generate(join(ROOT, "lexicons"));
  if (process.argv.includes("--check")) {
    const stale = differences(wanted, filesBelow(TARGET));
    for (const path of stale)
      console.error(`src/lexicons/${path}: not what lexicons/ says: bun run lexicons`);
    console.log(`lexicons: ${wanted.size} files, ${stale.length} findings`);
    process.exit(stale.length === 0 ? 0 : 1);
  }
  rmSync(TARGET, { recursive: true, force: true });
  for (const [path, text] of wanted) {
    mkdirSync(dirname(join(TARGET, path)), { recursive: true });
    writeFileSync(join(TARGET, path), text);
  }
  console.log(`lexicons: ${wanted.size} files written`);
}
