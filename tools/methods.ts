/**
 * `bun tools/methods.ts` writes what follows from the methods: docs/methods.md, the table of all of them with their tests, and
 * src/xrpc/_declared_errors.ts, the errors that their lexicons declare. Whose the methods are that kith does not answer
 * says tests/method_owners.json; what is answered by now is taken out of it.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { schemas } from "@atproto/api";
import { loadConfig } from "../src/config/mod.ts";
import { createServer, type KithServer } from "../src/server.ts";

const ROOT = join(import.meta.dir, "..");
const LEXICONS = join(ROOT, "../shared/lexicons");
const OWN_LEXICONS = join(ROOT, "lexicons");
const OWNERS = "tests/method_owners.json";
const TABLE = "docs/methods.md";
const ERRORS = "src/xrpc/_declared_errors.ts";
/** Goes over every method of the table, and so names none. */
const EVERY_METHOD_TEST = "tests/e2e/methods_test.ts";
/** So does this one, for apps. */
const EVERY_SCOPE_TEST = "tests/e2e/oauth_scopes_test.ts";
const KINDS: ReadonlySet<string> = new Set(["query", "procedure", "subscription"]);

export interface OtherMethod {
  readonly kind: string;
  /** Whose it is. */
  readonly owner: string;
  /** What becomes of a call: "passed on", "refused" (it manages the account, and may not leave), "not passed on". */
  readonly call: string;
}

export interface Owners {
  /** Methods that kith does not answer. */
  readonly others: Readonly<Record<string, OtherMethod>>;
  /** Methods that kith answers together with the service that the call names. */
  readonly withService: readonly string[];
  /** By namespace, the end-to-end tests that are about its methods, the best first. */
  readonly homes: Readonly<Record<string, readonly string[]>>;
}

interface Lexicon {
  readonly id: string;
  readonly defs: Readonly<Record<string, unknown>>;
}

interface Main {
  readonly type: string;
  readonly errors?: readonly { readonly name: string }[];
}

export type Served = KithServer["methods"][number];

/** What a server in dev mode answers, and the firehose. */
export async function servedMethods(): Promise<Served[]> {
  const folder = mkdtempSync(join(tmpdir(), "kith-methods-"));
  try {
    const env = { PDS_DATA_DIRECTORY: folder, PDS_DEV_MODE: "true", LOG_ENABLED: "false" };
    const server = await createServer(loadConfig({ env }).config, { listen: false });
    await server.stop();
    return [...server.methods];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function readOwners(): Owners {
  return JSON.parse(readFileSync(join(ROOT, OWNERS), "utf8")) as Owners;
}

/** NSID and main definition of every method of the protocol; undefined where the shared lexicons are absent. */
export function protocolMethods(): Map<string, Main> | undefined {
  if (!existsSync(LEXICONS)) return undefined;
  const paths = [...new Bun.Glob("**/*.json").scanSync({ cwd: LEXICONS })];
  return methodsOf(paths.map((path) => JSON.parse(readFileSync(join(LEXICONS, path), "utf8")) as Lexicon));
}

/** Our own, those of the admin socket too. */
function ownMethods(): Map<string, Main> {
  const paths = [...new Bun.Glob("**/*.json").scanSync({ cwd: OWN_LEXICONS })];
  return methodsOf(
    paths.map((path) => JSON.parse(readFileSync(join(OWN_LEXICONS, path), "utf8")) as Lexicon),
  );
}

/** Those of the apps, as the official client has them. */
export function appMethods(): Map<string, Main> {
  const apps = (schemas as unknown as Lexicon[]).filter(({ id }) => /^(app|chat)\.bsky\./.test(id));
  return methodsOf(apps);
}

function methodsOf(lexicons: readonly Lexicon[]): Map<string, Main> {
  const mains = lexicons.map(({ id, defs }) => [id, defs.main as Main | undefined] as const);
  return new Map(
    mains.filter((entry): entry is [string, Main] => KINDS.has(entry[1]?.type ?? "")).sort(byName),
  );
}

function byName([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}

interface Row {
  readonly nsid: string;
  readonly kind: string;
  readonly answers: string;
  readonly auth: string;
  /** Undefined where no test names it. */
  readonly test: string | undefined;
}

export function tableRows(served: readonly Served[], { others, withService, homes }: Owners): Row[] {
  const at = { tests: readTests(), homes };
  const own = served.map(({ nsid, kind, auth }) => {
    const answers = withService.includes(nsid) ? "kith, with the service" : "kith";
    return { nsid, kind, answers, auth, test: testOf(nsid, at) };
  });
  const firehose = "com.atproto.sync.subscribeRepos";
  const stream = { kind: "subscription", answers: "kith", auth: "none", test: testOf(firehose, at) };
  const isServed = new Set(served.map(({ nsid }) => nsid));
  const rest = Object.entries(others)
    .filter(([nsid]) => !isServed.has(nsid))
    .map(([nsid, { kind, owner, call }]) => {
      const test = call === "not passed on" ? undefined : EVERY_METHOD_TEST;
      return { nsid, kind, answers: `${owner}: ${call}`, auth: call === "passed on" ? "access" : "-", test };
    });
  const rows = [...own, { nsid: firehose, ...stream }, ...rest];
  return rows.sort((one, other) => (one.nsid < other.nsid ? -1 : 1));
}

/** Test files by path, the end-to-end ones first. */
function readTests(): ReadonlyMap<string, string> {
  const paths = ["tests", "src"].flatMap((folder) =>
    [...new Bun.Glob("**/*_test.ts").scanSync({ cwd: join(ROOT, folder) })]
      .sort()
      .map((path) => `${folder}/${path}`),
  );
  const rank = (path: string): number => (path.startsWith("tests/e2e/") ? 0 : 1);
  const sorted = paths
    .filter((path) => path !== EVERY_METHOD_TEST && path !== EVERY_SCOPE_TEST)
    .sort((one, other) => rank(one) - rank(other));
  return new Map(sorted.map((path) => [path, readFileSync(join(ROOT, path), "utf8")]));
}

/** The first test file that names the method: of its namespace's own, else of the end-to-end ones, else of the units'. */
function testOf(
  nsid: string,
  { tests, homes }: { tests: ReadonlyMap<string, string>; homes: Owners["homes"] },
) {
  const dot = nsid.lastIndexOf(".");
  const [namespace, name] = [nsid.slice(0, dot), nsid.slice(dot + 1)];
  const whole = new RegExp(`\\b${nsid.replaceAll(".", "\\.")}\\b`);
  const last = new RegExp(`["'\`]${name}["'\`]`);
  const isNamed = (path: string): boolean => {
    const text = tests.get(path) ?? "";
    return whole.test(text) || (text.includes(`${namespace}.$\{`) && last.test(text));
  };
  const own = (homes[namespace] ?? []).map((file) => join("tests/e2e", file));
  return [...own, ...tests.keys()].find(isNamed);
}

export function renderTable(rows: readonly Row[]): string {
  const cells = rows.map(({ nsid, kind, answers, auth, test }) => [
    `\`${nsid}\``,
    kind,
    answers,
    auth,
    test === undefined ? "" : `\`${test}\``,
  ]);
  const head = ["Method", "Kind", "Answered by", "Auth", "Test"];
  const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, at) => cell.padEnd(widths[at] ?? 0)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return `${HEAD}\n${[line(head), rule, ...cells.map(line)].join("\n")}\n`;
}

const HEAD = `# Methods

Every method of the protocol's lexicons, and those of apps, and its own, that kith answers. Written by \`bun tools/methods.ts\`; a test fails where it is out of
date, where a method of the lexicons is missing, and where no test names a method.

- **kith**: answered here. An \`atproto-proxy\` header changes nothing, but for \`dev.kith.community\`: a call that names another server goes on to it.
- **kith, with the service**: answered here from what the AppView (or the service that the header names) says and what the account has.
- **another's: passed on**: goes to the service that \`atproto-proxy\` names, else to the default AppView, with a token of the account for this
  service and method. So does every method that is not in this table.
- **refused**: manages the account itself, and so is never passed on.

Auth: \`none\`, nobody is asked; \`optional\`, anybody, owners and the admin see more; \`access\`, any session; \`full\`, a session of the main
password; \`anySession\`, also one of an account that is taken down; \`fullOrTakendown\`, both; \`refresh\`, a refresh token; \`service\`, a service token for the method;
\`accessOrService\`, \`optionalService\`, as they say; \`admin\`, the admin's password; \`moderator\`,
that, or a token of the moderation service.
`;

export function renderErrors(served: readonly Served[]): string | undefined {
  const protocol = protocolMethods();
  if (protocol === undefined) return undefined;
  const own = ownMethods();
  const all = new Map([...appMethods(), ...protocol, ...own]);
  const answered = new Set([...served.map(({ nsid }) => nsid), ...own.keys()]);
  const rows = [...answered].flatMap((nsid) => {
    const names = (all.get(nsid)?.errors ?? []).map(({ name }) => name);
    return names.length === 0 ? [] : [[nsid, names] as const];
  });
  const text = rows
    .sort(byName)
    .map(([nsid, names]) => `  ${JSON.stringify(nsid)}: ${JSON.stringify(names)},`);
  const source = `/** Written by \`bun tools/methods.ts\`: the errors that the lexicons of our methods declare. */
export const DECLARED_ERRORS: Readonly<Record<string, readonly string[]>> = {
${text.join("\n")}
};
`;
  return format(ERRORS, source);
}

function format(path: string, source: string): string {
  const run = Bun.spawnSync(["bunx", "biome", "format", `--stdin-file-path=${path}`], {
    cwd: ROOT,
    stdin: Buffer.from(source),
  });
  if (run.exitCode !== 0) throw new Error(`Could not format "${path}": ${run.stderr.toString()}`);
  return run.stdout.toString();
}

/** What is wrong, one line each. */
export function findings(served: readonly Served[], owners: Owners): string[] {
  const rows = tableRows(served, owners);
  const known = new Set(rows.map(({ nsid }) => nsid));
  const missing = [...(protocolMethods()?.keys() ?? [])].filter((nsid) => !known.has(nsid));
  return [
    ...missing.map((nsid) => `"${nsid}" is neither answered nor in ${OWNERS}`),
    ...rows
      .filter(({ test, answers }) => test === undefined && !answers.endsWith("not passed on"))
      .map(({ nsid }) => `no test names "${nsid}"`),
    ...stale(TABLE, renderTable(rows)),
    ...stale(ERRORS, renderErrors(served)),
  ];
}

function stale(path: string, text: string | undefined): string[] {
  const isStale = text !== undefined && readFileSync(join(ROOT, path), "utf8") !== text;
  return isStale ? [`${path} is out of date: run bun tools/methods.ts`] : [];
}

if (import.meta.main) {
  const served = await servedMethods();
  const isServed = new Set(served.map(({ nsid }) => nsid));
  const owners = readOwners();
  const others = Object.fromEntries(
    Object.entries(owners.others)
      .filter(([nsid]) => !isServed.has(nsid))
      .sort(byName),
  );
  const pruned = { ...owners, others };
  const errors = renderErrors(served);
  writeFileSync(join(ROOT, OWNERS), format(OWNERS, JSON.stringify(pruned)));
  writeFileSync(join(ROOT, TABLE), renderTable(tableRows(served, pruned)));
  if (errors !== undefined) writeFileSync(join(ROOT, ERRORS), errors);
  const wrong = findings(served, pruned);
  for (const line of wrong) console.error(line);
  console.log(
    `methods: ${served.length} answered, ${Object.keys(others).length} others', ${wrong.length} findings`,
  );
  process.exit(wrong.length === 0 ? 0 : 1);
}
