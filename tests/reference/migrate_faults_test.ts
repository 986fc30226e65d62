/** Moves from behind an entryway, and what goes wrong on the way: each ends with a sentence, and can be gone on with. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Account, createAccount, createRecord, newPicture, PASSWORD, post, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { type Ended, EXIT_UNANSWERED, Migrator } from "../migrator.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { REFERENCE_ROTATION_KEY, ReferencePds } from "../reference.ts";
import { leadTo, type Script, ScriptedHost } from "../scripted_host.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { StoppingProxy } from "../stopping_proxy.ts";

const NEW_PASSWORD = "a password of the new place";

setDefaultTimeout(120_000);

let plc: PlcDirectory;
let sink: SmtpSink;
let reference: ReferencePds;
let kith: TestServer;
let names = 0;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  sink = await new SmtpSink().start();
  const env = sink.env();
  reference = await ReferencePds.start({ plc, env });
  kith = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
}, 120_000);
afterAll(async () => {
  await kith?.[Symbol.asyncDispose]();
  await reference?.[Symbol.asyncDispose]();
  await sink?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

/** A member with one picture. */
async function newMember(): Promise<Account> {
  names += 1;
  const account = await createAccount(reference.url, `person${names}`, plc);
  const { json } = await xrpc(reference.url, "com.atproto.repo.uploadBlob", {
    token: account.accessJwt,
    body: newPicture(9_000),
    headers: { "content-type": "image/png" },
  });
  const embed = { $type: "app.bsky.embed.images", images: [{ image: json.blob, alt: "" }] };
  await createRecord(reference.url, account, { record: post("a picture", { embed }) });
  return account;
}

function newMigrator(options: Partial<ConstructorParameters<typeof Migrator>[0]> = {}): Migrator {
  return new Migrator({ plc: plc.url, sourcePassword: PASSWORD, targetPassword: NEW_PASSWORD, ...options });
}

function newestCode(email: string): string {
  const mail = sink.mails.findLast(({ to, text }) => to.includes(email) && /PLC/.test(text));
  const [code] = /\b[A-Z2-7]{5}-[A-Z2-7]{5}\b/.exec(mail?.text ?? "") ?? [];
  if (code === undefined) throw new Error(`No code for "${email}"`);
  return code;
}

/** What a run ended with: its code, and that each of the words is there. */
function expectEnd(ended: Ended, code: number, ...words: string[]): void {
  const said = `${ended.out}${ended.err}`;
  expect({ code: ended.code, said }).toEqual({ code, said });
  for (const word of words) expect(said).toContain(word);
  // No stack trace, no password.
  expect(said).not.toMatch(/\n\s+at |correct horse|a password of the new place/);
}

const refusal = (status: number, error: string, message: string) =>
  Response.json({ error, message }, { status });

describe("from behind an entryway", () => {
  test("one signs in there, with a second factor, and the two codes are asked for in turn", async () => {
    const alice = await newMember();
    await using host = new ScriptedHost(reference.url);
    await using entryway = new ScriptedHost(reference.url);
    const factors: string[] = [];
    host.scripts.set("oauth-protected-resource", () =>
      Response.json({ resource: host.url, authorization_servers: [entryway.url] }),
    );
    entryway.scripts.set("createSession", async (request, forward) => {
      const { authFactorToken, ...others } = (await request.json()) as Record<string, string>;
      if (authFactorToken === undefined) {
        factors.push(`FACTO-${String(factors.length).padStart(5, "2")}`);
        return refusal(401, "AuthFactorTokenRequired", "A sign in code has been sent to your email address");
      }
      if (authFactorToken !== factors.at(-1))
        return refusal(401, "AuthFactorTokenRequired", "Token is invalid");
      return await forward(JSON.stringify(others));
    });
    await leadTo(host.url, { did: alice.did, plc, rotationKeyHex: REFERENCE_ROTATION_KEY });

    using migrator = newMigrator();
    const run = (...more: string[]) => migrator.run(["in", alice.did, "--to", kith.url, "--yes", ...more]);
    const found = await run();
    expectEnd(
      found,
      EXIT_UNANSWERED,
      `One signs in for it at ${entryway.url}`,
      "--factor-code",
      "second factor",
    );
    expectEnd(
      await run("--factor-code", "WRONG-WRONG"),
      EXIT_UNANSWERED,
      "Token is invalid",
      "--factor-code",
    );
    const signedIn = await run("--factor-code", factors.at(-1) ?? "");
    // A sign-in code is mailed for each try; the one before is that of the test, so it has to be the newest.
    expectEnd(signedIn, EXIT_UNANSWERED);
    const on = signedIn.err.includes("--plc-code")
      ? signedIn
      : await run("--factor-code", factors.at(-1) ?? "");
    expectEnd(on, EXIT_UNANSWERED, "--plc-code", "it is not the sign-in code");
    const first = newestCode(alice.email);
    // The mistake that members make.
    const mistaken = await run("--plc-code", factors.at(-1) ?? "");
    expectEnd(mistaken, EXIT_UNANSWERED, "Token is invalid", "mails a new code");
    expect(newestCode(alice.email)).not.toBe(first);
    expectEnd(await run("--plc-code", newestCode(alice.email)), 0, `is at ${kith.url} now`);

    const sessions = ["createSession", "refreshSession", "deleteSession"];
    expect(host.asked.filter((name) => sessions.includes(name))).toEqual([]);
    expect(new Set(entryway.asked)).toEqual(new Set(["createSession", "deleteSession"]));
    for (const name of ["getServiceAuth", "getRepo", "requestPlcOperationSignature", "signPlcOperation"])
      expect(host.asked).toContain(name);
    expect((await plc.document(alice.did))?.service).toMatchObject([{ serviceEndpoint: kith.url }]);
  }, 120_000);
});

interface Fault {
  readonly title: string;
  /** Answers of the source. */
  readonly scripts: Readonly<Record<string, Script>>;
  readonly code: number;
  readonly words: readonly string[];
  /** How the next run ends, with the fault gone and these options. */
  readonly next?: readonly string[];
}

const once = (fault: Script): Script => {
  let isOver = false;
  return (request, forward) => {
    if (isOver) return forward();
    isOver = true;
    return fault(request, forward);
  };
};

const FAULTS: readonly Fault[] = [
  {
    title: "that lies about who signed in",
    scripts: {
      createSession: async (_, forward) =>
        Response.json({
          ...((await (await forward()).json()) as object),
          did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa",
        }),
    },
    code: 1,
    words: ['for "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"', "Do not go on"],
    next: [],
  },
  {
    title: "that redirects",
    scripts: { getRepo: () => Response.redirect("http://localhost:1/xrpc/elsewhere", 302) },
    code: 1,
    words: ["it redirects"],
    next: [],
  },
  {
    title: "that answers with something other than JSON",
    scripts: { checkAccountStatus: () => new Response("<html>") },
    code: 1,
    words: ["something other than JSON"],
    next: [],
  },
  {
    title: "that has lost a blob",
    scripts: { getBlob: () => refusal(400, "BlobNotFound", "Blob not found") },
    code: EXIT_UNANSWERED,
    words: [
      "1 images or films cannot be brought along",
      "it is gone at",
      "/app.bsky.feed.post/",
      "--without-blobs",
    ],
    next: ["--without-blobs"],
  },
  {
    title: "that answers with another blob",
    scripts: { getBlob: () => new Response("other bytes", { headers: { "content-type": "image/png" } }) },
    code: EXIT_UNANSWERED,
    words: ["1 images or films cannot be brought along", "has under this name is", "--without-blobs"],
    next: [],
  },
  {
    title: "whose access token has expired, which is renewed",
    scripts: { getServiceAuth: once(() => refusal(400, "ExpiredToken", "Token has expired")) },
    code: EXIT_UNANSWERED,
    words: ["--plc-code"],
  },
  {
    title: "that asks to be called less often, which is waited out",
    scripts: {
      getServiceAuth: once(() =>
        Response.json({ error: "RateLimitExceeded" }, { status: 429, headers: { "retry-after": "0" } }),
      ),
    },
    code: EXIT_UNANSWERED,
    words: ["to be called less often", "--plc-code"],
  },
  {
    title: "that takes no more calls for an hour",
    scripts: {
      getServiceAuth: () =>
        Response.json({ error: "RateLimitExceeded" }, { status: 429, headers: { "retry-after": "3600" } }),
    },
    code: 1,
    words: ["takes no more calls until"],
    next: [],
  },
  {
    title: "that mails no code",
    scripts: {
      requestPlcOperationSignature: () =>
        refusal(400, "InvalidRequest", "account does not have an email address"),
    },
    code: 1,
    words: ["account does not have an email address"],
    next: [],
  },
];

/** One signs in there too. */
function standAlone(host: ScriptedHost): void {
  host.scripts.set("oauth-protected-resource", () => Response.json({ authorization_servers: [host.url] }));
}

describe("from a source", () => {
  test.each(FAULTS.map((fault): [string, Fault] => [fault.title, fault]))(
    "%s",
    async (_title, { scripts, code, words, next }) => {
      const alice = await newMember();
      await using host = new ScriptedHost(reference.url);
      await leadTo(host.url, { did: alice.did, plc, rotationKeyHex: REFERENCE_ROTATION_KEY });
      standAlone(host);
      for (const [name, script] of Object.entries(scripts)) host.scripts.set(name, script);
      using migrator = newMigrator();
      const args = ["in", alice.did, "--to", kith.url, "--yes"];
      expectEnd(await migrator.run(args), code, ...words);
      if (next === undefined) return;
      if (next.length === 0) for (const name of Object.keys(scripts)) host.scripts.delete(name);
      expectEnd(await migrator.run([...args, ...next]), EXIT_UNANSWERED, "--plc-code");
    },
    120_000,
  );

  test.each<[string, Script, number, string[]]>([
    [
      "whose code has expired",
      once(() => refusal(400, "ExpiredToken", "Token is expired")),
      EXIT_UNANSWERED,
      ["the code has expired: asking for a new one", "--plc-code"],
    ],
    [
      "that signs something else",
      once(async (request, forward) => {
        const body = (await request.json()) as Record<string, unknown>;
        return forward(JSON.stringify({ ...body, rotationKeys: undefined }));
      }),
      1,
      ["signed something else than was asked for: rotationKeys"],
    ],
  ])(
    "%s",
    async (_title, script, code, words) => {
      const alice = await newMember();
      await using host = new ScriptedHost(reference.url);
      await leadTo(host.url, { did: alice.did, plc, rotationKeyHex: REFERENCE_ROTATION_KEY });
      const before = await plc.document(alice.did);
      using migrator = newMigrator();
      const run = (...more: string[]) => migrator.run(["in", alice.did, "--to", kith.url, "--yes", ...more]);
      expectEnd(await run(), EXIT_UNANSWERED, "--plc-code");
      host.scripts.set("signPlcOperation", script);
      const ended = await run("--plc-code", newestCode(alice.email));
      expectEnd(ended, code, ...words);
      expect(await plc.document(alice.did)).toEqual(before!);
      // The code that was used up is not accepted again, and a fresh one is mailed; with that it ends.
      if (code === 1) expectEnd(await run("--plc-code", "AAAAA-AAAAA"), EXIT_UNANSWERED, "mails a new code");
      expectEnd(await run("--plc-code", newestCode(alice.email)), 0);
    },
    120_000,
  );
});

describe("with answers that are wrong", () => {
  const begin = async (options: Partial<ConstructorParameters<typeof Migrator>[0]> = {}) => {
    const alice = await newMember();
    const migrator = newMigrator(options);
    const run = (target: TestServer, ...more: string[]) =>
      migrator.run(["in", alice.did, "--to", target.url, "--yes", ...more]);
    return { alice, migrator, run };
  };

  test("a wrong password is not accepted, and is nowhere kept", async () => {
    const { migrator, run } = await begin({ sourcePassword: "not the password" });
    using _ = migrator;
    expectEnd(await run(kith), EXIT_UNANSWERED, "Invalid identifier or password", "KITH_SOURCE_PASSWORD");
    const folder = join(migrator.folder, "kith/migrations");
    const [name = ""] = readdirSync(folder);
    expect(statSync(join(folder, name)).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(folder, name), "utf8")).not.toContain("not the password");
  });

  test("an app password cannot move an account", async () => {
    const alice = await newMember();
    const { json } = await xrpc(reference.url, "com.atproto.server.createAppPassword", {
      token: alice.accessJwt,
      body: { name: "app" },
    });
    using migrator = newMigrator({ sourcePassword: String(json.password) });
    const ended = await migrator.run(["in", alice.did, "--to", kith.url, "--yes"]);
    expectEnd(ended, 1, "An app password cannot move an account");
  });

  test("a server that wants an invite code says so until it is a good one", async () => {
    await using invited = await TestServer.start({
      env: { PDS_DID_PLC_URL: plc.url, PDS_INVITE_REQUIRED: "true" },
    });
    const { migrator, run } = await begin();
    using _ = migrator;
    expectEnd(await run(invited), EXIT_UNANSWERED, "--invite-code");
    expectEnd(
      await run(invited, "--invite-code", "no-such-code"),
      EXIT_UNANSWERED,
      "Not accepted",
      "--invite-code",
    );
    const made = await xrpc(invited.url, "com.atproto.server.createInviteCode", {
      body: { useCount: 1 },
      headers: { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` },
    });
    expectEnd(await run(invited, "--invite-code", String(made.json.code)), EXIT_UNANSWERED, "--plc-code");
  });

  test("a handle that is taken can be another", async () => {
    const { alice, migrator, run } = await begin();
    using _ = migrator;
    await createAccount(kith.url, alice.handle.split(".")[0] ?? "", plc);
    expectEnd(await run(kith, "--email", "another@example.org"), EXIT_UNANSWERED, "Not accepted", "--handle");
    const handle = `x${alice.handle}`;
    expectEnd(
      await run(kith, "--email", "another@example.org", "--handle", handle),
      EXIT_UNANSWERED,
      "--plc-code",
    );
    expectEnd(await run(kith, "--plc-code", newestCode(alice.email)), 0);
    expect((await plc.document(alice.did))?.alsoKnownAs).toEqual([`at://${handle}`]);
  });

  test("a repo that is too large is told as that, and goes on once it is allowed", async () => {
    const env = { PDS_DID_PLC_URL: plc.url };
    await using small = await TestServer.start({ env: { ...env, PDS_MAX_REPO_IMPORT_SIZE: "100" } });
    const { migrator, run } = await begin();
    using _ = migrator;
    expectEnd(await run(small), 1, "takes no repo of", "PDS_MAX_REPO_IMPORT_SIZE");
  });

  test("a target that goes down in the middle is gone on with", async () => {
    await using proxy = await StoppingProxy.start();
    const { migrator, run } = await begin({ proxy: proxy.url });
    using _ = migrator;
    proxy.cut = { at: "repo.importRepo", when: "before" };
    proxy.onCut = () => migrator.kill();
    await run(kith);
    proxy.down.add(new URL(kith.url).port);
    expectEnd(await run(kith), 1, "could not be reached");
    proxy.down.clear();
    expectEnd(await run(kith), EXIT_UNANSWERED, "--plc-code");
  }, 120_000);

  test("the last question is not answered by silence", async () => {
    const { alice, migrator } = await begin();
    using _ = migrator;
    const args = ["in", alice.did, "--to", kith.url];
    expectEnd(await migrator.run(args), EXIT_UNANSWERED, "Change the identity now?", "--yes");
    expectEnd(await migrator.run(["status"]), 0, `${alice.handle} (${alice.did})`, "Last question");
    expectEnd(await migrator.run([...args, "--yes"]), EXIT_UNANSWERED, "--plc-code");
  });

  test("what is written at the source meanwhile is fetched too", async () => {
    const { alice, migrator, run } = await begin();
    using _ = migrator;
    expectEnd(await run(kith), EXIT_UNANSWERED, "--plc-code");
    const late = await createRecord(reference.url, alice, { record: post("written meanwhile") });
    const ended = await run(kith, "--plc-code", newestCode(alice.email));
    expectEnd(ended, 0, "something was written at the source meanwhile");
    const [, , , collection, rkey] = late.uri.split("/");
    const found = await xrpc(kith.url, "com.atproto.repo.getRecord", {
      params: { repo: alice.did, collection, rkey },
    });
    expect(found.json.cid).toBe(late.cid);
  });

  test.each<[string, string[], number, string]>([
    ["no verb", [], 2, "it takes"],
    ["no account", ["in"], 1, "Which account?"],
    ["what is no handle", ["in", "not a handle", "--to", "http://localhost:1"], 1, "wrong syntax"],
    [
      "a DID that is not there",
      ["in", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "--to", "http://localhost:1"],
      1,
      "is not in the PLC directory",
    ],
    ["no new server", ["out", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"], 1, "--to URL"],
    ["http to elsewhere", ["in", "a.test", "--to", "http://pds.example.com"], 1, "https address"],
    ["nothing to abandon", ["abandon"], 1, "no move to abandon"],
    ["nothing under way", ["status"], 0, "No move is under way"],
  ])("%s ends with a sentence", async (_title, args, code, words) => {
    using migrator = newMigrator();
    expectEnd(await migrator.run(args), code, words);
  });
});
