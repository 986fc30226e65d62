/** `kith migrate` at a real terminal: what it asks, and that a password is not shown. */
import { expect, test } from "bun:test";
import { createAccount, PASSWORD } from "../client.ts";
import { kithCommand, serverEnv, TestServer } from "../harness.ts";
import { Migrator } from "../migrator.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { waitFor } from "../wait.ts";

test("a person answers one question after the other", async () => {
  await using plc = await PlcDirectory.start();
  await using sink = await new SmtpSink().start();
  const mail = { PDS_EMAIL_SMTP_URL: sink.url, PDS_EMAIL_FROM_ADDRESS: "pds@example.com" };
  await using old = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url, ...mail } });
  await using next = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
  const alice = await createAccount(old.url, "alice", plc);
  using folder = new Migrator({ plc: plc.url, sourcePassword: "", targetPassword: "" });
  let screen = "";
  const child = Bun.spawn(kithCommand("migrate", "in", alice.did, "--to", next.url), {
    cwd: folder.folder,
    env: serverEnv({
      PDS_PORT: undefined,
      PDS_DID_PLC_URL: plc.url,
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
  const answer = async (question: string, text: string | (() => Promise<string>)) => {
    await waitFor(`"${question}" on the screen:\n${screen}`, () => screen.includes(question));
    child.terminal?.write(`${typeof text === "string" ? text : await text()}\r`);
  };
  await answer('Password of "alice.test"', "wrong");
  await answer("That was not accepted: Invalid identifier or password", PASSWORD);
  await answer("Handle at", "anna.test");
  await answer("Choose a password", "a password of anna");
  await answer("The same once more", "a password of anna");
  await answer("Change the identity now?", "y");
  await answer("Identity code (PLC update)", () => sink.codeTo(alice.email, /PLC/i));
  await child.exited;
  expect({ code: child.exitCode, screen }).toEqual({ code: 0, screen });
  expect(screen).toContain("Done: anna.test is at");
  for (const secret of [PASSWORD, "a password of anna"]) expect(screen).not.toContain(secret);
  expect(folder.kept()).toEqual([]);
  expect((await plc.document(alice.did))?.alsoKnownAs).toEqual(["at://anna.test"]);
}, 60_000);
