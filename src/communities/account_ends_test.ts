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
  const guarded = ({
    state = "active",
    resolve = async () => documentOf(HERE),
    deletion = async () => {},
  } = {}) => {
    const deleted: [string, unknown][] = [];
    const ends = new AccountEnds({
      communities: stores.communities,
      members: stores.members,
      accounts: { account: () => ({ state }) },
      dids: { resolve },
      publicUrl: HERE,
      logger: createLogger({ enabled: false }),
      now: () => NOW,
    });
    const repos = ends.guard<object>({
      deleteRepo: async (...call) => {
        await deletion();
        deleted.push(call as never);
      },
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

  test("fault 14: of two last owners whose accounts end at once, one is held back", async () => {
    const people = [`did:plc:person${count}a`, `did:plc:person${count}b`];
    const [first = "", second = ""] = people;
    await add({ createdBy: first });
    const owner = { community: did, subject: second, actor: first, role: "owner", canPublish: true } as const;
    await stores.members.putMember({ ...owner, now: NOW });
    const { repos, deleted } = guarded();
    const ends = await Promise.allSettled(people.map((person) => repos.deleteRepo(person)));
    expect(ends.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(deleted).toHaveLength(1);
    const stays = deleted[0]?.[0] === first ? second : first;
    expect(stores.members.members(did, { limit: 9 }).members).toMatchObject([
      { subject: stays, role: "owner" },
    ]);
  });

  test("whose account stays after all is what they were", async () => {
    const person = `did:plc:person${count}`;
    await add({ createdBy: ALICE });
    const admin = { community: did, subject: person, actor: ALICE, role: "admin", canPublish: true } as const;
    const before = await stores.members.putMember({ ...admin, now: NOW });
    const { repos } = guarded({ deletion: async () => Promise.reject(unreachable) });
    expect((await errorOf(repos.deleteRepo(person))).code).toBe("upstream_failure");
    expect(stores.members.member(did, person)).toEqual(before);
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
