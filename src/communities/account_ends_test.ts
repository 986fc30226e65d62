import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { parseDidDocument } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { createLogger } from "../logger.ts";
import type { NewCommunity } from "../storage/mod.ts";
import { errorOf, openStores, type Stores } from "./_attempts_fixture.ts";
import { AccountEnds } from "./account_ends.ts";

const NOW = 1_790_000_000_000;
const ALICE = "did:plc:alice";
const unreachable = new KithError("upstream_failure", "Could not fetch it: no answer");

let stores: Stores;
/** A DID of its own for each test. */
let did: string;
let count = 0;
beforeAll(async () => {
  stores = await openStores();
});
afterAll(() => stores[Symbol.asyncDispose]());
beforeEach(() => {
  count += 1;
  did = `did:plc:group${count}`;
});

const documentOf = (serviceEndpoint: string) =>
  parseDidDocument(
    { id: did, service: [{ id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint }] },
    { did },
  );

async function add(change: Partial<NewCommunity> = {}): Promise<void> {
  await stores.communities.add({
    ...{ did, mode: "adopted", kind: "remote", handle: "group.pds.test", pdsEndpoint: "https://pds.test" },
    ...{ pdsDid: "did:web:pds.test", rotationKey: null, createdBy: ALICE, now: NOW },
    ...change,
  });
}

describe("AccountEnds", () => {
  const HERE = "https://here.test";
  const endsOf = ({ state = "active", resolve = async () => documentOf(HERE) } = {}) =>
    new AccountEnds({
      communities: stores.communities,
      members: stores.members,
      accounts: { account: () => ({ state }) },
      dids: { resolve },
      publicUrl: HERE,
      logger: createLogger({ enabled: false }),
      now: () => NOW,
    });
  const guarded = (options: Parameters<typeof endsOf>[0] = {}) => {
    const deleted: [string, unknown][] = [];
    const repos = endsOf(options).guard<object>({
      deleteRepo: async (...call) => void deleted.push(call as never),
    });
    return { repos, deleted };
  };

  test("a member goes out of all communities, and the last owner of one stays", async () => {
    const person = `did:plc:person${count}`;
    await add({ createdBy: person });
    const { repos, deleted } = guarded();
    const error = await errorOf(repos.deleteRepo(person));
    expect([error.code, error.message]).toEqual(["last_owner", expect.stringContaining("group.pds.test")]);
    expect(deleted).toEqual([]);
    const owner = {
      community: did,
      subject: ALICE,
      actor: person,
      role: "owner",
      canPublish: true,
      now: NOW,
    } as const;
    await stores.members.putMember(owner);
    await repos.deleteRepo(person, { from: ["deactivated"] });
    expect(deleted).toEqual([[person, { from: ["deactivated"] }]]);
    expect(stores.members.member(did, person)).toBeUndefined();
    expect(stores.members.member(did, ALICE)?.role).toBe("owner");
  });

  test("of two owners whose accounts are deleted at once, one stays", async () => {
    const [person, other] = [`did:plc:person${count}`, `did:plc:other${count}`];
    await add({ createdBy: person });
    const right = { role: "owner", canPublish: false } as const;
    await stores.members.putMember({ community: did, subject: other, actor: person, ...right, now: NOW });
    const { repos, deleted } = guarded();
    const ends = await Promise.all(
      [person, other].map((each) => repos.deleteRepo(each).catch((error: KithError) => error)),
    );
    expect(ends.map((end) => (end instanceof KithError ? end.code : end))).toEqual([undefined, "last_owner"]);
    expect(deleted).toHaveLength(1);
    expect(stores.members.member(did, other)?.role).toBe("owner");
  });

  test("nobody leaves while the other owner's account is being deleted; where it is not, they may", async () => {
    const [person, other] = [`did:plc:person${count}`, `did:plc:other${count}`];
    await add({ createdBy: person });
    const right = { role: "owner", canPublish: false } as const;
    await stores.members.putMember({ community: did, subject: other, actor: person, ...right, now: NOW });
    const leave = { community: did, subject: other, actor: other, now: NOW };
    let refused: KithError | undefined;
    const repos = endsOf().guard<object>({
      deleteRepo: async () => {
        refused = await errorOf(stores.members.removeMember(leave));
        throw unreachable;
      },
    });
    expect((await errorOf(repos.deleteRepo(person))).code).toBe("upstream_failure");
    expect(refused?.code).toBe("last_owner");
    expect(await stores.members.removeMember(leave)).toBe(true);
  });

  test("settle() ends what a crash has left", async () => {
    const [gone, there] = [`did:plc:person${count}`, `did:plc:other${count}`];
    await add({ kind: "native", mode: "provisioned" });
    const group = `${did}-kept`;
    await add({ did: group });
    await stores.hub.write((run) => {
      const insert =
        "INSERT INTO account (did, state, password_hash, generation, key_type, created_at) VALUES (?, ?, '', ?, 'k256', 1)";
      for (const [generation, [subject, state]] of [
        [gone, "deleted"],
        [there, "active"],
        [did, "deleting"],
      ].entries())
        run(insert, subject ?? "", state ?? "", generation);
    });
    for (const subject of [gone, there]) {
      const right = { role: "manager", canPublish: false } as const;
      await stores.members.putMember({ community: group, subject, actor: ALICE, ...right, now: NOW });
      await stores.members.beginLeaving(subject);
    }
    await endsOf().settle();
    expect(stores.communities.find(did)).toBeUndefined();
    expect(stores.members.members(group, { limit: 9 }).members.map(({ subject }) => subject)).toEqual([
      ALICE,
      there,
    ]);
  });

  test("whoever has moved away stays what they are", async () => {
    const person = `did:plc:person${count}`;
    await add({ createdBy: person });
    const moved = guarded({
      state: "deactivated",
      resolve: async () => documentOf("https://elsewhere.test"),
    });
    await moved.repos.deleteRepo(person);
    expect(moved.deleted).toHaveLength(1);
    expect(stores.members.member(did, person)?.role).toBe("owner");
  });

  test("where nobody can say, the account counts as one of this server", async () => {
    const person = `did:plc:person${count}`;
    await add({ createdBy: person });
    const lost = guarded({
      state: "deactivated",
      resolve: async () => {
        throw unreachable;
      },
    });
    expect((await errorOf(lost.repos.deleteRepo(person))).code).toBe("last_owner");
  });

  test("the account of a native community takes the community with it, and no other kind does", async () => {
    await add({ kind: "native", mode: "provisioned" });
    await guarded().repos.deleteRepo(did);
    expect(stores.communities.find(did)).toBeUndefined();
    did = `${did}-stock`;
    await add({ kind: "loopback" });
    await guarded().repos.deleteRepo(did);
    expect(stores.communities.find(did)).toBeDefined();
  });

  test("names a few of many communities", async () => {
    const person = `did:plc:person${count}`;
    for (let i = 0; i < 7; i++) {
      did = `did:plc:many${i}`;
      await add({ createdBy: person, handle: i === 0 ? null : `many${i}.test` });
    }
    const { message } = await errorOf(guarded().repos.deleteRepo(person));
    expect(message).toContain('"did:plc:many0"');
    expect(message).toContain("and others");
    expect(message.length).toBeLessThan(600);
  });
});
