/** Many calls at once: each idempotency key makes one community, each name goes to one, and no quota is passed. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { type Account, type Answer, createAccount } from "../client.ts";
import { TestServer } from "../harness.ts";
import { FaultyPlc, PlcDirectory } from "../plc_directory.ts";
import { adminCall, community, type Hosting, type ProvisionInput, provisionInput, ROOM } from "./group.ts";

const CALLERS = 20;
const LIMIT_MS = 120_000;
const HOSTINGS: readonly Hosting[] = ["native", "stock"];

let plc: PlcDirectory;
let directory: FaultyPlc;
let server: TestServer;
let people: Account[];
let names = 0;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  directory = new FaultyPlc(plc);
  const env = { ...ROOM, PDS_DID_PLC_URL: directory.url, PDS_RATE_LIMITS_ENABLED: "false" };
  server = await TestServer.start({ env });
  people = [];
  for (let i = 0; i < CALLERS; i += 1) people.push(await createAccount(server.url, `person${i}`, plc));
}, LIMIT_MS);
afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await directory?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

async function requestFor(hosting: Hosting, more: Record<string, unknown> = {}): Promise<ProvisionInput> {
  const name = `group${names++}`;
  const stock = hosting === "stock" ? { email: `${name}@example.com` } : {};
  const key = await Secp256k1Keypair.create();
  return provisionInput(key, { handle: `${name}.test`, hosting, ...stock, ...more });
}

const ask = (by: Account | undefined, body: ProvisionInput): Promise<Answer> =>
  community(server.url, "provision", { token: by?.accessJwt ?? "", body });

const didsOf = (answers: readonly Answer[]) =>
  new Set(answers.filter(({ status }) => status === 200).map(({ json }) => String(json.communityDid)));

/** What has an operation in the directory is one of these, or given up. */
async function expectNoOrphans(dids: ReadonlySet<string>): Promise<void> {
  for (const did of directory.dids) {
    if (dids.has(did) || people.some((person) => person.did === did)) continue;
    const log = await fetch(`${plc.url}/${did}/log`);
    if (log.status === 404) continue;
    const operations = (await log.json()) as { type: string }[];
    expect([did, operations.at(-1)?.type]).toEqual([did, "plc_tombstone"]);
  }
  const { json } = await adminCall(server, "listAttempts", { params: { olderThanSeconds: "0" } });
  expect(json.attempts).toEqual([]);
  directory.dids.clear();
}

describe.each([...HOSTINGS])("at once (%s)", (hosting) => {
  test(`${CALLERS} calls with one key make one community, whose password is told once`, async () => {
    const body = await requestFor(hosting);
    const answers = await Promise.all(Array.from({ length: CALLERS }, () => ask(people[0], body)));
    expect(answers.map(({ status }) => status)).toEqual(Array(CALLERS).fill(200));
    const dids = didsOf(answers);
    expect(dids.size).toBe(1);
    const told = answers.filter(({ json }) => json.rootCredentials !== undefined);
    expect(told).toHaveLength(hosting === "native" ? 0 : 1);
    await expectNoOrphans(dids);
  });

  test(
    `${CALLERS} callers make as many communities`,
    async () => {
      const bodies = await Promise.all(people.map(() => requestFor(hosting)));
      const answers = await Promise.all(people.map((person, i) => ask(person, bodies[i] as ProvisionInput)));
      expect(answers.map(({ status, json }) => [status, json.message])).toEqual(
        Array(CALLERS).fill([200, undefined]),
      );
      expect(didsOf(answers).size).toBe(CALLERS);
      await expectNoOrphans(didsOf(answers));
    },
    LIMIT_MS,
  );

  test(
    "one name for many is one's, and nothing is left of the others",
    async () => {
      const { handle } = await requestFor(hosting);
      const bodies = await Promise.all(people.map(() => requestFor(hosting, { handle })));
      const answers = await Promise.all(people.map((person, i) => ask(person, bodies[i] as ProvisionInput)));
      const refused = answers.filter(({ status }) => status !== 200);
      expect(didsOf(answers).size).toBe(1);
      expect(new Set(refused.map(({ status, error }) => `${status} ${error}`))).toEqual(
        new Set(["400 HandleNotAvailable"]),
      );
      await expectNoOrphans(didsOf(answers));
      // The key of one that was refused is free for another name.
      const i = answers.findIndex(({ status }) => status !== 200);
      const anew = await ask(people[i], {
        ...(bodies[i] as ProvisionInput),
        handle: (await requestFor(hosting)).handle,
      });
      expect([anew.status, anew.json.message]).toEqual([200, undefined]);
      directory.dids.clear();
    },
    LIMIT_MS,
  );

  test("the same key of two callers is two keys", async () => {
    const first = await requestFor(hosting);
    const second = { ...(await requestFor(hosting)), idempotencyKey: first.idempotencyKey };
    const answers = await Promise.all([ask(people[1], first), ask(people[2], second)]);
    expect(didsOf(answers).size).toBe(2);
    await expectNoOrphans(didsOf(answers));
  });

  test("one key for two requests makes the one, and the other is a conflict", async () => {
    const first = await requestFor(hosting);
    const second = { ...(await requestFor(hosting)), idempotencyKey: first.idempotencyKey };
    const answers = await Promise.all([first, second, first, second].map((body) => ask(people[3], body)));
    const outcomes = answers.map(({ status, error }) => `${status} ${error ?? ""}`).sort();
    expect(outcomes).toEqual(["200 ", "200 ", "409 IdempotencyConflict", "409 IdempotencyConflict"]);
    await expectNoOrphans(didsOf(answers));
  });

  test(
    "a caller has one attempt at a time, however many are begun",
    async () => {
      const bodies = await Promise.all(Array.from({ length: CALLERS }, () => requestFor(hosting)));
      const answers = await Promise.all(bodies.map((body) => ask(people[4], body)));
      const refused = answers.filter(({ status }) => status !== 200);
      expect(new Set(refused.map(({ status, error }) => `${status} ${error}`))).toEqual(
        new Set(["429 CommunityQuotaExceeded"]),
      );
      expect(didsOf(answers).size).toBe(CALLERS - refused.length);
      await expectNoOrphans(didsOf(answers));
    },
    LIMIT_MS,
  );
});

test(
  "the server's quota of a day is not passed by a race",
  async () => {
    const quota = 5;
    await using one = await TestServer.start({
      env: {
        ...ROOM,
        PDS_DID_PLC_URL: directory.url,
        PDS_RATE_LIMITS_ENABLED: "false",
        KITH_COMMUNITIES_PER_DAY: String(quota),
      },
    });
    const callers: Account[] = [];
    for (let i = 0; i < quota * 2; i += 1) callers.push(await createAccount(one.url, `racer${i}`, plc));
    const answers = await Promise.all(
      callers.map(async ({ accessJwt: token }, i) => {
        const body = provisionInput(await Secp256k1Keypair.create(), { handle: `race${i}.test` });
        return community(one.url, "provision", { token, body });
      }),
    );
    const outcomes = answers.map(({ status, error }) => `${status} ${error ?? ""}`).sort();
    expect(outcomes).toEqual([
      ...Array(quota).fill("200 "),
      ...Array(quota).fill("429 CommunityQuotaExceeded"),
    ]);
  },
  LIMIT_MS,
);
