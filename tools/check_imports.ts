/**
 * Fails the build on an import that goes up or sideways between the layers of docs/architecture.md, past another
 * folder's mod.ts, or around in a cycle; and on what `src/atproto` may not touch. Prints one line a finding.
 */
import { readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";

/** Layer by folder or top-level file of src/; a file imports its own folder and any lower layer. */
export const LAYERS: Readonly<Record<string, number>> = {
  "errors.ts": 0,
  "for_each.ts": 0,
  "ip.ts": 0,
  "logger.ts": 0,
  atproto: 0,
  lexicons: 0,
  config: 1,
  identity: 1,
  mailer: 1,
  storage: 1,
  actors: 2,
  accounts: 3,
  auth: 3,
  backup: 4,
  takeover: 4,
  communities: 4,
  migration: 4,
  verify: 4,
  watch: 4,
  web: 4,
  oauth: 5,
  xrpc: 5,
  "_drill_worker.ts": 6,
  "account_features.ts": 6,
  "community_features.ts": 6,
  "account_page_features.ts": 6,
  "admin_socket.ts": 6,
  "backup_features.ts": 6,
  "admin_features.ts": 6,
  "admin_page_features.ts": 6,
  "identity_features.ts": 6,
  "idle_memory.ts": 6,
  cli: 6,
  "edge.ts": 6,
  "engine.ts": 6,
  "features.ts": 6,
  "folder_check.ts": 6,
  "front_pages.ts": 6,
  "lexicon_features.ts": 6,
  "listen.ts": 6,
  "main.ts": 6,
  "oauth_features.ts": 6,
  "page_features.ts": 6,
  "request_gate.ts": 6,
  "restore_features.ts": 6,
  "running.ts": 6,
  "server.ts": 6,
  "server_files.ts": 6,
  "verify_features.ts": 6,
  "watch_features.ts": 6,
};

/** Wiring files see one another; everywhere else one layer is blind to its neighbours. */
const WIRING_LAYER = 6;

const IMPORT = /(?:^|\n)\s*(?:import|export)\s+(?:type\s+)?(?:[^"';]*?\sfrom\s+)?["']([^"']+)["']/g;
const DYNAMIC_IMPORT = /\bimport\(\s*["']([^"']+)["']\s*\)/g;
/** A module that is loaded where it is first needed, without waiting. */
const REQUIRE = /\brequire\(\s*["'](\.[^"']+)["']\s*\)/g;
const WORKER_URL = /new URL\(\s*["'](\.[^"']+)["']\s*,\s*import\.meta\.url\s*\)/g;

export interface SourceFile {
  /** Path from src/, with forward slashes. */
  readonly path: string;
  readonly text: string;
}

/** The specifiers a file imports, in order of appearance. */
export function importsOf(text: string): string[] {
  const bare = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
  return [IMPORT, DYNAMIC_IMPORT, REQUIRE, WORKER_URL].flatMap((pattern) =>
    [...bare.matchAll(pattern)].map((match) => match[1] ?? ""),
  );
}

/** The folder (or top-level file) of src/ that a path belongs to; a top-level test belongs to what it tests. */
function roomOf(path: string): string {
  return (path.split("/")[0] ?? path).replace(/_test\.ts$/, ".ts");
}

/** What is wrong with one import, or undefined. `from` and `to` are paths from src/. */
export function judgeImport(from: string, to: string): string | undefined {
  const [fromRoom, toRoom] = [roomOf(from), roomOf(to)];
  const [fromLayer, toLayer] = [LAYERS[fromRoom], LAYERS[toRoom]];
  if (fromLayer === undefined) return `"${fromRoom}" has no layer: add it to tools/check_imports.ts`;
  if (toLayer === undefined) return `imports "${to}", which has no layer`;
  if (fromRoom === toRoom) {
    return privateOfSubfolder(from, to) ? `imports "${to}", private to its folder` : undefined;
  }
  if (toLayer > fromLayer) return `imports "${to}": layer ${fromLayer} may not import layer ${toLayer}`;
  if (toLayer === fromLayer && fromLayer !== WIRING_LAYER && !(fromLayer === 0 && to === "errors.ts")) {
    return `imports "${to}", its neighbour on layer ${fromLayer}`;
  }
  if (
    to.includes("/") &&
    to !== `${toRoom}/mod.ts` &&
    !from.endsWith("_test.ts") &&
    fromLayer !== WIRING_LAYER
  ) {
    return `imports "${to}" past ${toRoom}/mod.ts`;
  }
  return undefined;
}

/** `_x.ts` is private to the folder it is in; its own sub-folders count as outside. */
function privateOfSubfolder(from: string, to: string): boolean {
  const name = to.split("/").at(-1) ?? to;
  return name.startsWith("_") && dirname(from) !== dirname(to);
}

const IMPURE = /\bBun\.|\bfetch\(|\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(|["']bun:|performance\.now/;

/** What a protocol file may not do: know the runtime, the network, a database or the clock. */
export function judgePurity(file: SourceFile): string | undefined {
  if (roomOf(file.path) !== "atproto" || file.path.endsWith("_test.ts")) return undefined;
  const code = file.text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/(^|\s)\/\/.*$/gm, "$1");
  const hit = IMPURE.exec(code);
  return hit ? `uses "${hit[0]}": src/atproto is pure` : undefined;
}

/** Every finding over a set of files, each `path: what`. */
export function checkImports(files: readonly SourceFile[]): string[] {
  const graph = new Map<string, string[]>();
  const findings: string[] = [];
  for (const file of files) {
    const impure = judgePurity(file);
    if (impure) findings.push(`${file.path}: ${impure}`);
    const targets = importsOf(file.text)
      .filter((specifier) => specifier.startsWith("."))
      .map((specifier) => normalize(join(dirname(file.path), specifier)).replaceAll("\\", "/"))
      .filter((target) => !target.startsWith(".."));
    for (const target of targets) {
      const finding = judgeImport(file.path, target);
      if (finding) findings.push(`${file.path}: ${finding}`);
    }
    graph.set(file.path, targets);
  }
  return [...findings, ...cyclesIn(graph)];
}

function cyclesIn(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const findings: string[] = [];
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): void => {
    const at = trail.indexOf(path);
    if (at >= 0) findings.push(`${path}: cycle: ${[...trail.slice(at), path].join(" -> ")}`);
    if (at >= 0 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) visit(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return findings;
}

/** Reads every .ts file below src/. */
export function readSources(root: string): SourceFile[] {
  const glob = new Bun.Glob("**/*.ts");
  return [...glob.scanSync({ cwd: root })]
    .map((path) => path.replaceAll("\\", "/"))
    .sort()
    .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));
}

if (import.meta.main) {
  const files = readSources(join(import.meta.dir, "../src"));
  const findings = checkImports(files);
  for (const finding of findings) console.error(`src/${finding}`);
  console.log(`imports: ${files.length} files, ${findings.length} findings`);
  process.exit(findings.length === 0 ? 0 : 1);
}
