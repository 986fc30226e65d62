/** `kith reap` against a stand-in for the server. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "./mod.ts";

const attempt = (id: string) => ({
  ...{ id, state: "genesisSubmitted", kind: "remote", caller: "did:plc:vwzwgnygau7ed7b7wt5ux7y2" },
  ...{ handle: `${id}.test`, pdsEndpoint: "https://pds.test", did: "did:plc:aaaa", idleSeconds: 5_400 },
  ...{ createdAt: "2026-01-02T03:04:05Z", updatedAt: "2026-01-02T03:04:05Z", lastError: "no\u001b[2J" },
});
const IDS = ["one", "active", "busy"];

let folder: string;
let server: Bun.Server<undefined>;
let reaps: { id: string; dryRun: boolean; olderThanSeconds: number; operator: string }[];
let ids: readonly string[];
let olderThan: (string | null)[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-reap-"));
  [reaps, ids, olderThan] = [[], IDS, []];
  server = Bun.serve({ unix: join(folder, "admin.sock"), fetch: answer });
});
afterEach(async () => {
  await server.stop(true);
  rmSync(folder, { recursive: true, force: true });
});

async function answer(request: Request): Promise<Response> {
  const url = new URL(request.url);
  if (url.pathname.endsWith(".listAttempts")) {
    olderThan.push(url.searchParams.get("olderThanSeconds"));
    const at = Number(url.searchParams.get("cursor") ?? 0);
    const more = at + 1 < ids.length ? { cursor: String(at + 1) } : {};
    return Response.json({ attempts: ids.slice(at, at + 1).map(attempt), ...more });
  }
  const input = (await request.json()) as (typeof reaps)[number];
  reaps.push(input);
  const { id, dryRun } = input;
  if (id === "busy") return Response.json({ error: "AttemptBusy", message: "it is busy" }, { status: 409 });
  if (id === "none") return Response.json({ error: "AttemptNotFound", message: "no such" }, { status: 400 });
  const isLeft = id === "active";
  const verdict = isLeft ? "is active: resume it" : `${dryRun ? "would be" : "was"} archived`;
  return Response.json({ attempt: { ...attempt(id), verdict, reaped: !isLeft && !dryRun } });
}

async function run(argv: readonly string[], answers?: string[]) {
  const questions: string[] = [];
  let [out, err] = ["", ""];
  const io = {
    ...{ env: { USER: "olga" }, cwd: folder, isTerminal: false },
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    ...(answers && {
      ask: async (question: string) => {
        questions.push(question);
        return answers.shift() ?? "";
      },
    }),
  };
  const loadServer = () => Promise.reject(new Error("no server here"));
  return { code: await main(["reap", ...argv, "--data", folder], { io, loadServer }), out, err, questions };
}

const done = () => reaps.filter(({ dryRun }) => !dryRun).map(({ id }) => id);

test("without a choice it lists what is stuck, of all pages, and says what there is to do", async () => {
  const { code, out, err } = await run([]);
  const lines = out.trimEnd().split("\n");
  // each with its last error below it
  expect([code, lines.length, reaps]).toEqual([0, 1 + 2 * IDS.length, []]);
  expect(lines[1]).toMatch(
    /^one {6}1h 30m {2}genesisSubmitted {2}one\.test {2}did:plc:aaaa {2}remote https:\/\/pds\.test$/,
  );
  expect(lines[2]).toBe("  last error: no\u{fffd}[2J");
  expect(err).toContain("--no-dry-run");
  expect(olderThan[0]).toBe("1800");
});

test("a dry run tells what would be done, and does nothing", async () => {
  const { code, out, err } = await run(["--attempt-id", "one", "--older-than", "2h"]);
  expect([code, out]).toEqual([0, expect.stringContaining("would be archived")]);
  expect(err).toBe("Nothing was done: this was a dry run. With --no-dry-run it is done.\n");
  expect(reaps).toEqual([{ id: "one", olderThanSeconds: 7_200, dryRun: true, operator: "olga" }]);
});

test("with --yes all that can be are taken back; what is active or busy is left, and the exit code says so", async () => {
  const { code, out, err } = await run(["--all-stuck", "--no-dry-run", "--yes"]);
  expect([code, done()]).toEqual([1, ["one", "active"]]);
  expect(out).toContain("one: was archived\n");
  expect(out).toContain("active: left as it is: is active: resume it\n");
  expect(err).toBe("busy: it is busy\n1 taken back, 2 left as they are.\n");
});

test("a question for each", async () => {
  ids = ["one", "two"];
  const { code, questions } = await run(["--all-stuck", "--no-dry-run"], ["n", "y"]);
  expect([code, done()]).toEqual([1, ["two"]]);
  expect(questions).toEqual([
    expect.stringContaining("one (one.test, did:plc:aaaa)"),
    expect.stringContaining("two"),
  ]);
});

test("no terminal means no", async () => {
  const { code, err } = await run(["--attempt-id", "one", "--no-dry-run"]);
  expect([code, done(), err]).toEqual([1, [], expect.stringContaining("nobody to ask, and no --yes")]);
});

test("taken back is 0, and nothing stuck is 0", async () => {
  expect((await run(["--attempt-id", "one", "--no-dry-run", "--yes"])).code).toBe(0);
  ids = [];
  for (const argv of [[], ["--all-stuck"], ["--all-stuck", "--no-dry-run", "--yes"]])
    expect(await run(argv)).toMatchObject({ code: 0, out: "No attempt is stuck.\n" });
});

test("--json is one object a line", async () => {
  ids = ["one", "active"];
  const { out } = await run(["--all-stuck", "--no-dry-run", "--yes", "--json"]);
  const lines = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  expect(lines).toMatchObject([
    { id: "one", reaped: true },
    { id: "active", reaped: false },
  ]);
});

test.each([
  [["--attempt-id", "one", "--all-stuck"], 2, /not both/],
  [["--no-dry-run"], 2, /which attempts/],
  [["--all-stuck", "--older-than", "30"], 2, /a time such as/],
  [["--attempt-id", "none"], 1, /no such/],
])("kith reap %p is refused", async (argv, exit, words) => {
  const { code, err } = await run(argv);
  expect([code, done(), err]).toEqual([exit, [], expect.stringMatching(words)]);
});
