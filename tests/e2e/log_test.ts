/** The log: one JSON line a request, and no secret in any of them. */
import { expect, test } from "bun:test";
import { createRecord, PASSWORD, post, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, JWT_SECRET } from "../harness.ts";
import { Stage } from "../stage.ts";

test("no password, token or key in anything the server prints, whatever goes wrong", async () => {
  await using stage = await Stage.open({ env: { LOG_LEVEL: "debug" } });
  const { alice, url } = stage;
  const secrets = new Set([
    PASSWORD,
    ADMIN_PASSWORD,
    JWT_SECRET,
    alice.accessJwt,
    alice.refreshJwt,
    "a-wrong-password",
    "a-secret-in-broken-json",
  ]);
  const keep = (answer: { json: Record<string, unknown> }) => {
    for (const name of ["accessJwt", "refreshJwt"])
      if (answer.json[name]) secrets.add(String(answer.json[name]));
    return answer;
  };
  const login = (password: string) =>
    xrpc(url, "com.atproto.server.createSession", { body: { identifier: alice.handle, password } });
  keep(await login(PASSWORD));
  keep(await login("a-wrong-password"));
  keep(await xrpc(url, "com.atproto.server.refreshSession", { method: "POST", token: alice.refreshJwt }));
  await createRecord(url, alice, { record: post("logged") });
  await xrpc(url, "com.atproto.server.getSession", { token: `${alice.accessJwt}x` });
  await xrpc(url, "com.atproto.server.createSession", {
    body: `{"identifier":"x","password":"a-secret-in-broken-json"`,
    headers: { "content-type": "application/json" },
  });
  await xrpc(url, "com.atproto.server.createAccount", {
    body: { handle: alice.handle, email: "else@example.com", password: "a-wrong-password" },
    headers: { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` },
  });
  await xrpc(url, `com.atproto.sync.getRepo?did=${alice.did}&access_token=${alice.accessJwt}`);
  await xrpc(url, "com.atproto.server.deleteSession", { method: "POST", token: alice.refreshJwt });
  expect(await stage.server.stop()).toBe(0);
  const output = await stage.server.wholeOutput();
  secrets.add(btoa(`admin:${ADMIN_PASSWORD}`));
  for (const secret of secrets) {
    expect(output.includes(secret)).toBe(false);
    // the signature alone would do as well
    const signature = secret.split(".")[2];
    if (signature) expect(output.includes(signature)).toBe(false);
  }
});

test("one JSON line a request, with id, method, status and duration", async () => {
  await using stage = await Stage.open({ env: { LOG_LEVEL: "info" } });
  const answer = await xrpc(stage.url, "com.atproto.repo.describeRepo", {
    params: { repo: stage.alice.did },
  });
  const id = answer.headers.get("x-request-id") ?? "none";
  await stage.server.stop();
  const lines = (await stage.server.wholeOutput()).split("\n").filter((line) => line.includes(id));
  expect(lines).toHaveLength(1);
  const line = JSON.parse(lines[0] ?? "") as Record<string, unknown>;
  expect(Object.values(line)).toContain(200);
  expect(JSON.stringify(line)).toContain("com.atproto.repo.describeRepo");
});
