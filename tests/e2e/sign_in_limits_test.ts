/** Guessing on the sign-in pages: it ends at a bound, and tells nothing about who is here, neither in words nor in time. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DEVICE_SIGN_INS_MAX } from "../../src/accounts/sign_ins.ts";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { formTo, type Page, PageVisitor } from "../page_visitor.ts";

/** Of one network in five minutes, as page_features.ts has it. */
const FORGOTTEN_MAX = 30;
const ROUNDS_MIN = 7;
/** Where a machine is busy with something else by turns, more of them tell. */
const ROUNDS_MAX = 40;

let server: TestServer;
let alice: Account;

beforeAll(async () => {
  server = await TestServer.start({
    env: { PDS_RATE_LIMITS_ENABLED: "true", KITH_LOGIN_FAILURES_MAX: "50" },
  });
  alice = await createAccount(server.url, "alice");
});

afterAll(() => server?.[Symbol.asyncDispose]());

/** From a network of its own, where it is said which. */
async function signInAs(
  identifier: string,
  { password = "a wrong password", network }: { password?: string; network?: number } = {},
): Promise<Page> {
  const from = network === undefined ? {} : { "X-Forwarded-For": `198.51.100.${network}` };
  const visitor = new PageVisitor(server.url, from);
  const page = await visitor.get("/account/sign-in");
  return visitor.send(formTo(page, "/account/sign-in"), { fields: { identifier, password } });
}

/** How many times as long something took in the middle one of the rounds. */
function ratioOf(taken: readonly number[], usual: readonly number[]): number {
  const ratios = taken.map((ms, round) => ms / (usual[round] ?? Number.NaN));
  return ratios.toSorted((a, b) => a - b)[ratios.length >> 1] ?? Number.NaN;
}

// Without a hash it would be a tenth.
const isAlike = (ratio: number): boolean => ratio > 0.5 && ratio < 2;

test("an unknown name, a wrong password and an app password take as long, and are answered alike", async () => {
  const made = await xrpc(server.url, "com.atproto.server.createAppPassword", {
    token: alice.accessJwt,
    body: { name: "phone" },
  });
  const password = String(made.json.password);
  const rows: Record<string, (network: number) => Promise<Page>> = {
    "a wrong password": (network) => signInAs(alice.handle, { network }),
    "an app password": (network) => signInAs(alice.handle, { password, network }),
    "an unknown handle": (network) => signInAs("nobody.test", { network }),
    "an unknown address": (network) => signInAs("nobody@example.com", { network }),
    "an unknown DID": (network) => signInAs("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", { network }),
  };
  const times = new Map(Object.keys(rows).map((name): [string, number[]] => [name, []]));
  // The first one makes what later ones have.
  await signInAs("nobody.test");
  const ratios = () =>
    [...times].map(([name, taken]) => [name, ratioOf(taken, times.get("a wrong password") ?? [])] as const);
  // In turn, so that whatever else the machine does meets all of them.
  for (let round = 1; round <= ROUNDS_MAX; round++) {
    for (const [name, act] of Object.entries(rows)) {
      const from = performance.now();
      const page = await act(round);
      times.get(name)?.push(performance.now() - from);
      expect([name, page.status]).toEqual([name, 400]);
      expect(page.text).toContain("The handle or e-mail address and the password do not go together.");
    }
    if (round >= ROUNDS_MIN && ratios().every(([, ratio]) => isAlike(ratio))) break;
  }
  for (const [name, ratio] of ratios()) expect([name, ratio, isAlike(ratio)]).toEqual([name, ratio, true]);
}, 120_000);

test("a browser tries so often, and no more; another one goes on", async () => {
  const visitor = new PageVisitor(server.url);
  const form = formTo(await visitor.get("/account/sign-in"), "/account/sign-in");
  const attempt = (number: number) =>
    visitor.send(form, { fields: { identifier: `nobody${number}.test`, password: "wrong" } });
  for (let number = 0; number < DEVICE_SIGN_INS_MAX; number++)
    expect((await attempt(number)).status).toBe(400);
  const late = await attempt(DEVICE_SIGN_INS_MAX);
  expect([late.status, late.text]).toEqual([429, expect.stringContaining("Too many tries")]);
  expect(late.html).toContain('role="alert" tabindex="-1" autofocus');
  const right = await visitor.send(form, { fields: { identifier: alice.handle, password: PASSWORD } });
  expect(right.status).toBe(429);
  expect((await signInAs(alice.handle, { password: PASSWORD })).path).toBe(`/account/${alice.did}`);
}, 120_000);

test("a network asks for so many codes, and no more", async () => {
  const visitor = new PageVisitor(server.url);
  const form = formTo(await visitor.get("/account/forgot"), "/account/forgot");
  for (let number = 0; number < FORGOTTEN_MAX; number++)
    expect((await visitor.send(form, { fields: { email: `n${number}@example.com` } })).status).not.toBe(429);
  const late = await visitor.send(form, { fields: { email: alice.email } });
  expect([late.status, late.title]).toEqual([429, expect.stringContaining("Slow down")]);
  expect(Number(late.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await visitor.get("/account/sign-in")).status).toBe(200);
}, 120_000);
