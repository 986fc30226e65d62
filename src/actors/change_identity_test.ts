import { describe, expect, test } from "bun:test";
import { generatePrivateKey, parseCommit, signerFromPrivateKey, verifyCommit } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { Bench, didOf, fill, handleOf, outcomeOf, post, watch } from "./_bench.ts";
import { until } from "./_fake_log.ts";

const DID = didOf("alice");
const BOB = didOf("bob");
const privateKey = generatePrivateKey("p256", new Uint8Array(32).fill(9));
const NEW = { type: "p256" as const, privateKey, didKey: signerFromPrivateKey("p256", privateKey).didKey };

/** The head, as its bytes are. */
const headOf = (bench: Bench) =>
  bench.registry.read(DID, (repo) => {
    const { commit: cid } = repo.state().head!;
    return { cid, bytes: repo.get(cid)! };
  });
const isSignedBy = async (bench: Bench, didKey: string): Promise<boolean> => {
  const block = await headOf(bench);
  try {
    return verifyCommit(block, didKey) !== undefined;
  } catch (error) {
    if (error instanceof KithError) return false;
    throw error;
  }
};

describe("RepoRegistry.changeIdentity() to another handle", () => {
  test("commits it with its event, repeats it in the accounts, and only then tells", async () => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID);
    await bench.identities.begin({ did: DID, handle: "new.test", now: 1 });
    const project = bench.stopBefore("project");
    const done = bench.registry.changeIdentity(DID, { handle: "new.test" });
    const answer = watch(done);
    await project.reached;
    expect(await bench.registry.read(DID, (repo) => repo.state().handle)).toBe("new.test");
    expect([answer.answered, bench.accounts.account(DID)?.handle]).toEqual([false, handleOf(DID)]);
    expect(bench.typesOf(DID)).toHaveLength(4);
    project.open();
    await done;
    expect(bench.accounts.account(DID)?.handle).toBe("new.test");
    expect(bench.identities.all()).toEqual([]);
    await until(() => bench.eventsOf(DID).length === 5);
    expect(bench.eventsOf(DID)[4]).toMatchObject({ type: "#identity", payload: { handle: "new.test" } });
  });

  test.each(["project", "durable", "log"] as const)("survives kill -9 at its step: %s", async (step) => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID);
    await bench.identities.begin({ did: DID, handle: "new.test", now: 1 });
    const gate = step === "project" ? bench.stopBefore("project") : undefined;
    if (step === "log") bench.disks.log.hold();
    if (step === "durable") bench.disks.hub.hold();
    const done = bench.registry.changeIdentity(DID, { handle: "new.test" });
    if (step === "project") await gate?.reached;
    if (step === "durable") await bench.disks.hub.reached();
    if (step === "log") await done;
    await using after = await bench.crash();
    await after.recover();
    expect(after.accounts.account(DID)?.handle).toBe("new.test");
    expect(after.identities.all()).toEqual([]);
    const told = after.logged(DID).filter(({ payload }) => payload.handle === "new.test");
    expect(told).toHaveLength(1);
    gate?.open();
    bench.disks.hub.release();
    bench.disks.log.release();
    await done;
  });

  test.each(["deactivated", "takendown"] as const)("goes on while the account is %s", async (status) => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID);
    await bench.registry.setStatus(DID, status);
    await bench.registry.changeIdentity(DID, { handle: "new.test" });
    expect(bench.accounts.account(DID)).toMatchObject({ handle: "new.test", state: status });
    expect(await outcomeOf(bench.write(DID, post("one")))).toBe(`account_${status}`);
  });

  test("changes nothing where there is no room, or what comes before fails", async () => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID);
    const before = async () => {
      throw new KithError("upstream_failure", "no answer");
    };
    expect(await outcomeOf(bench.registry.changeIdentity(DID, { handle: "new.test", before }))).toBe(
      "upstream_failure",
    );
    const release = await bench.registry.read(DID, fill);
    const big = "x".repeat(50_000);
    while ((await outcomeOf(bench.write(DID, post(`r${Math.random()}`.slice(0, 12), big)))) === "done");
    release();
    expect(await bench.registry.read(DID, (repo) => repo.state().handle)).toBe(handleOf(DID));
    expect(bench.accounts.account(DID)?.handle).toBe(handleOf(DID));
  });

  test("leaves the start whole where another account has the handle by now", async () => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID, BOB);
    const project = bench.stopBefore("project");
    const done = bench.registry.changeIdentity(DID, { handle: "new.test" });
    await project.reached;
    await using after = await bench.crash();
    await after.identities.project(BOB, { handle: "new.test" });
    // Repos are recovered side by side: Bob's, brought to rest first, would give him back his own handle.
    await after.accounts.unmarkOpen(BOB);
    await after.recover();
    expect(after.errors).toEqual(["The handle of an account is another's now; it keeps the one that it had"]);
    expect(after.accounts.account(DID)?.handle).toBe(handleOf(DID));
    project.open();
    await done;
  });
});

describe("RepoRegistry.changeIdentity() to another key", () => {
  test("holds writes until the directory has it, then signs anew, tells #identity and #sync, and goes on", async () => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID);
    await bench.write(DID, post("one"));
    const head = await headOf(bench);
    const old = parseCommit(head.bytes);
    const signer = bench.accounts.signer(DID).didKey;
    await bench.identities.begin({ did: DID, signingKey: NEW, now: 1 });
    const directory = Promise.withResolvers<void>();
    const before = () => directory.promise;
    const done = bench.registry.changeIdentity(DID, { signingKey: NEW.didKey, before });
    const written = bench.write(DID, post("two"));
    const answer = watch(written);
    await bench.registry.readDurable(DID, () => {});
    expect([answer.answered, await isSignedBy(bench, signer)]).toEqual([false, true]);
    directory.resolve();
    await done;
    const { commit } = await written;
    expect(await isSignedBy(bench, NEW.didKey)).toBe(true);
    expect(bench.accounts.signer(DID).didKey).toBe(NEW.didKey);
    await until(() => bench.eventsOf(DID).length === 8);
    const [identity, sync, two] = bench.eventsOf(DID).slice(5);
    expect([identity?.type, sync?.type, two?.type]).toEqual(["#identity", "#sync", "#commit"]);
    expect(two?.payload).toMatchObject({ rev: commit?.rev, since: sync?.payload.rev });
    expect(String(sync?.payload.rev) > old.rev).toBe(true);
    // Nothing is left of the commit before.
    expect(await bench.registry.read(DID, (repo) => repo.get(head.cid))).toBeUndefined();
  });

  test.each(["project", "log"] as const)("survives kill -9 at its step: %s", async (step) => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID);
    await bench.identities.begin({ did: DID, signingKey: NEW, now: 1 });
    const gate = step === "project" ? bench.stopBefore("project") : undefined;
    if (step === "log") bench.disks.log.hold();
    const done = bench.registry.changeIdentity(DID, { signingKey: NEW.didKey });
    await (gate ? gate.reached : done);
    await using after = await bench.crash();
    await after.recover();
    expect(after.accounts.signer(DID).didKey).toBe(NEW.didKey);
    expect(after.identities.all()).toEqual([]);
    await after.write(DID, post("one"));
    expect(await isSignedBy(after, NEW.didKey)).toBe(true);
    expect(
      after
        .logged(DID)
        .slice(4, 6)
        .map(({ type }) => type),
    ).toEqual(["#identity", "#sync"]);
    gate?.open();
    bench.disks.log.release();
    await done;
  });

  test("signs with the new key also before the accounts have it", async () => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID);
    await bench.identities.begin({ did: DID, signingKey: NEW, now: 1 });
    const hub = bench.stopBefore("project");
    const done = bench.registry.changeIdentity(DID, { signingKey: NEW.didKey });
    await hub.reached;
    // As a start would find it that could not repeat it either.
    await using after = await bench.crash();
    await after.write(DID, post("one"));
    expect(await isSignedBy(after, NEW.didKey)).toBe(true);
    hub.open();
    await done;
  });

  test("tells an inactive account's #identity alone", async () => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID);
    await bench.registry.setStatus(DID, "deactivated");
    await bench.identities.begin({ did: DID, signingKey: NEW, now: 1 });
    await bench.registry.changeIdentity(DID, { signingKey: NEW.didKey });
    await bench.registry.setStatus(DID, "active");
    await until(() => bench.eventsOf(DID).length === 9);
    expect(bench.typesOf(DID).slice(4)).toEqual(["#account", "#identity", "#account", "#identity", "#sync"]);
  });
});
