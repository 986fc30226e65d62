/** Guessing on the sign-in pages: it ends at a bound, and tells nothing about who is here, neither in words nor in time. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { DEVICE_SIGN_INS_MAX } from "../../src/accounts/sign_ins.ts";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { formTo, type Page, PageVisitor } from "../page_visitor.ts";

/** Of one network in five minutes, as page_features.ts has it. */
const FORGOTTEN_MAX = 30;
const ROUNDS = 7;

let server: TestServer;
let alice: Account;

beforeAll(async () => {
  server = await TestServer.start({
    env: { PDS_RATE_LIMITS_ENABLED: "true", KITH_LOGIN_FAILURES_MAX: "50" },
  });
  alice = await createAccount(server.url, "alice");
});

afterAll(() => server?.[Symbol.asyncDispose]());

async function signInAs(identifier: string, password = "a wrong password"): Promise<Page> {
  const visitor = new PageVisitor(server.url);
  const page = await visitor.get("/account/sign-in");
  return visitor.send(formTo(page, "/account/sign-in"), { fields: { identifier, password } });
}

/** The middle one. */
const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0;

test("an unknown name, a wrong password and an app password take as long, and are answered alike", async () => {
  const made = await xrpc(server.url, "com.atproto.server.createAppPassword", {
    token: alice.accessJwt,
    body: { name: "phone" },
  });
  const rows: Record<string, () => Promise<Page>> = {
    "a wrong password": () => signInAs(alice.handle),
    "an app password": () => signInAs(alice.handle, String(made.json.password)),
    "an unknown handle": () => signInAs("nobody.test"),
    "an unknown address": () => signInAs("nobody@example.com"),
    "an unknown DID": () => signInAs("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"),
  };
  const times = new Map(Object.keys(rows).map((name): [string, number[]] => [name, []]));
  // The first one makes what later ones have.
  await signInAs("nobody.test");
  // In turn, so that whatever else the machine does meets all of them.
  for (let round = 0; round < ROUNDS; round++) {
    for (const [name, act] of Object.entries(rows)) {
      const from = performance.now();
      const page = await act();
      times.get(name)?.push(performance.now() - from);
      expect([name, page.status]).toEqual([name, 400]);
      expect(page.text).toContain("The handle or e-mail address and the password do not go together.");
    }
  }
  const usual = median(times.get("a wrong password") ?? []);
  for (const [name, taken] of times) {
    const ratio = median(taken) / usual;
    // Without a hash it would be a tenth.
    expect([name, ratio > 0.5 && ratio < 2]).toEqual([name, true]);
  }
}, 60_000);

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
  expect((await signInAs(alice.handle, PASSWORD)).path).toBe(`/account/${alice.did}`);
}, 60_000);

test("a network asks for so many codes, and no more", async () => {
  const visitor = new PageVisitor(server.url);
  const form = formTo(await visitor.get("/account/forgot"), "/account/forgot");
  for (let number = 0; number < FORGOTTEN_MAX; number++)
    expect((await visitor.send(form, { fields: { email: `n${number}@example.com` } })).status).not.toBe(429);
  const late = await visitor.send(form, { fields: { email: alice.email } });
  expect([late.status, late.title]).toEqual([429, expect.stringContaining("Slow down")]);
  expect(Number(late.headers.get("retry-after"))).toBeGreaterThan(0);
  expect((await visitor.get("/account/sign-in")).status).toBe(200);
}, 60_000);
