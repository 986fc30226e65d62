/** The account commands against a stand-in for the server: paging, and the question before what cannot be undone. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "./mod.ts";

const PAGES = 3;
const ACCOUNTS_PER_PAGE = 250;
const didOf = (number: number) => `did:plc:${String(number).padStart(24, "a")}`;

let folder: string;
let server: Bun.Server<undefined>;
let calls: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-account-"));
  calls = [];
  server = Bun.serve({ unix: join(folder, "admin.sock"), fetch: answer });
});
afterEach(async () => {
  await server.stop(true);
  rmSync(folder, { recursive: true, force: true });
});

function answer(request: Request): Response {
  const url = new URL(request.url);
  const name = url.pathname.split(".").at(-1) ?? "";
  calls.push(name);
  if (name === "findAccount") return Response.json({ did: didOf(1), handle: "alice.test", active: true });
  if (name === "listRepos") {
    const page = Number(url.searchParams.get("cursor") ?? 0);
    const numbers = Array.from({ length: ACCOUNTS_PER_PAGE }, (_, at) => page * ACCOUNTS_PER_PAGE + at);
    const repos = numbers.map((number) => ({ did: didOf(number), head: "x", rev: "y", active: true }));
    return Response.json({ repos, ...(page + 1 < PAGES ? { cursor: String(page + 1) } : {}) });
  }
  if (name === "getAccountInfos") {
    const dids = url.searchParams.getAll("dids");
    // One that has gone in the meantime is not among them.
    const infos = dids.filter((did) => did !== didOf(7));
    return Response.json({
      infos: infos.map((did) => ({ did, handle: `h.test`, indexedAt: "2026-01-02T03:04:05Z" })),
    });
  }
  return new Response();
}

async function run(argv: readonly string[], answers?: string[]) {
  const questions: string[] = [];
  let [out, err] = ["", ""];
  const io = {
    env: {},
    cwd: folder,
    isTerminal: false,
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    ...(answers === undefined
      ? {}
      : {
          ask: async (question: string) => {
            questions.push(question);
            return answers.shift() ?? "";
          },
        }),
  };
  const loadServer = () => Promise.reject(new Error("no server here"));
  const code = await main([...argv, "--data", folder], { io, loadServer });
  return { code, out, err, questions };
}

test("kith account list pages through all, and shows one that goes meanwhile with what is known", async () => {
  const { code, out } = await run(["account", "list"]);
  const lines = out.trimEnd().split("\n");
  expect([code, lines.length]).toEqual([0, 1 + PAGES * ACCOUNTS_PER_PAGE]);
  expect(lines[1]).toBe(`${didOf(0)}  h.test  active  -       2026-01-02`);
  expect(lines[8]).toBe(`${didOf(7)}  -       active  -       -`);
  const { out: json } = await run(["account", "list", "--json"]);
  expect(
    new Set(
      json
        .trimEnd()
        .split("\n")
        .map((line) => JSON.parse(line).did),
    ).size,
  ).toBe(PAGES * ACCOUNTS_PER_PAGE);
});

test.each([
  ["takedown", "y", 0, "updateSubjectStatus"],
  ["takedown", "", 1, undefined],
  ["delete", "YES", 0, "deleteAccount"],
  ["delete", "n", 1, undefined],
  ["delete", "yes please", 1, undefined],
])("kith account %s, answered %p", async (verb, said, exit, called) => {
  const { code, err, questions } = await run(["account", verb, "alice.test"], [said]);
  expect(code).toBe(exit);
  expect(questions).toEqual([expect.stringContaining(`alice.test (${didOf(1)})`)]);
  expect(calls).toEqual(["findAccount", ...(called === undefined ? [] : [called])]);
  expect(err).toBe(called === undefined ? "Nothing was done.\n" : "");
});

test("kith account create asks for what was not given", async () => {
  const { code, questions } = await run(["account", "create"], ["a@example.com", ""]);
  expect([code, questions]).toEqual([2, ["E-mail address: ", "Handle: "]]);
});

test("what a server answers reaches the terminal without its control characters", async () => {
  await server.stop(true);
  const refuse = () => Response.json({ error: "NotFound", message: "no\u001b[2J\u009b2K" }, { status: 400 });
  server = Bun.serve({ unix: join(folder, "admin.sock"), fetch: refuse });
  const { code, err } = await run(["account", "info", "alice.test"]);
  expect([code, err]).toEqual([1, "kith account info: no\u{fffd}[2J\u{fffd}2K\n"]);
});
