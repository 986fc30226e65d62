/** `kith migrate` at a real terminal: what it asks, and that a password is not shown. */
import { expect, test } from "bun:test";
import { createAccount, PASSWORD } from "../client.ts";
import { kithCommand, serverEnv, TestServer } from "../harness.ts";
import { Migrator } from "../migrator.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { waitFor } from "../wait.ts";

/** `kith migrate in` at a terminal, and a person who waits for a question and answers it. */
function atTerminal(folder: Migrator, args: readonly string[], plc: string) {
  let screen = "";
  let seen = 0;
  const child = Bun.spawn(kithCommand("migrate", "in", ...args), {
    cwd: folder.folder,
    env: serverEnv({
      PDS_PORT: undefined,
      PDS_DID_PLC_URL: plc,
      XDG_STATE_HOME: folder.folder,
      TERM: "xterm",
    }),
    terminal: {
      cols: 200,
      rows: 50,
      data: (_terminal, data) => {
        screen += new TextDecoder().decode(data);
      },
    },
  });
  const question = async (words: string) => {
    await waitFor(`"${words}" on the screen:\n${screen}`, () => screen.includes(words, seen));
    seen = screen.indexOf(words, seen) + words.length;
  };
  const answer = async (words: string, text: string | (() => Promise<string>)) => {
    await question(words);
    child.terminal?.write(`${typeof text === "string" ? text : await text()}\r`);
  };
  return { child, question, answer, shown: () => screen };
}

test("a person answers one question after the other", async () => {
  await using plc = await PlcDirectory.start();
  await using sink = await new SmtpSink().start();
  const mail = sink.env();
  await using old = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url, ...mail } });
  await using next = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
  const alice = await createAccount(old.url, "alice", plc);
  using folder = new Migrator({ plc: plc.url, sourcePassword: "", targetPassword: "" });
  const { child, answer, shown } = atTerminal(folder, [alice.did, "--to", next.url], plc.url);
  await answer('Password of "alice.test"', "wrong");
  await answer("That was not accepted: Invalid identifier or password", PASSWORD);
  await answer("Handle at", "anna!");
  await answer('"anna!.test" cannot be a handle', "anna");
  await answer("Choose a password", "a password of anna");
  await answer("The same once more", "a password of ana");
  await answer("the two were not the same", "a password of anna");
  await answer("The same once more", "a password of anna");
  await answer("Change the identity now?", "y");
  await answer("Identity code (PLC update)", () => sink.codeTo(alice.email, /PLC/i));
  await child.exited;
  await waitFor("its last words", () => shown().includes("Done: "));
  const screen = shown();
  expect({ code: child.exitCode, screen }).toEqual({ code: 0, screen });
  expect(screen).toContain("Done: anna.test is at");
  for (const secret of [PASSWORD, "a password of anna"]) expect(screen).not.toContain(secret);
  expect(folder.kept()).toEqual([]);
  expect((await plc.document(alice.did))?.alsoKnownAs).toEqual(["at://anna.test"]);
}, 120_000);

test("a move that is stopped says how to go on, and kith migrate status says where it is", async () => {
  await using plc = await PlcDirectory.start();
  await using old = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
  await using next = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
  const alice = await createAccount(old.url, "alice", plc);
  using folder = new Migrator({ plc: plc.url, sourcePassword: "", targetPassword: "" });
  const args = [alice.did, "--to", next.url];
  const first = atTerminal(folder, args, plc.url);
  await first.answer('Password of "alice.test"', PASSWORD);
  await first.question("Handle at");
  first.child.kill("SIGINT");
  await first.child.exited;
  await waitFor("its last words", () => first.shown().includes("run the same command"));
  expect(first.child.exitCode).toBe(130);
  expect(folder.kept()).toEqual([expect.stringMatching(/\.json$/)]);
  const { out } = await folder.run(["status"]);
  expect(out).toContain(`alice.test (${alice.did}) from ${old.url} to ${next.url}\n`);
  expect(out).toContain("  next          Make the account at the new server\n");
  expect(out).toContain("  to go on      kith migrate in alice.test\n");
  expect(out).toContain("  to take back  kith migrate abandon alice.test\n");
  const { out: json } = await folder.run(["status", "--json"]);
  expect(JSON.parse(json)).toMatchObject({
    type: "move",
    verb: "in",
    step: "createAccount",
    mayAbandon: true,
  });
  const second = atTerminal(folder, args, plc.url);
  await second.question("Going on with the move of alice.test");
  await second.answer("Handle at", "\u0003");
  await second.child.exited;
  expect(second.child.exitCode).toBe(75);
  expect((await folder.run(["abandon", "alice.test"])).code).toBe(0);
  expect(folder.kept()).toEqual([]);
}, 120_000);
