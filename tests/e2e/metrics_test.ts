/** GET /metrics: who may read it, that it is what Prometheus reads, and that its figures are those of what was done. */
import { afterAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { BackupPlace } from "../backup_parts.ts";
import { createRecord, post, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const basic = (password: string, user = "admin") => `Basic ${btoa(`${user}:${password}`)}`;
const AUTHORIZATION = basic(ADMIN_PASSWORD);

function scrape(url: string, authorization: string | undefined = AUTHORIZATION): Promise<Response> {
  return fetch(`${url}/metrics`, { headers: authorization === "" ? {} : { authorization } });
}

/** As the format is written down: every sample under its family's head, each once. */
function read(text: string): Map<string, number> {
  const samples = new Map<string, number>();
  const types = new Map<string, string>();
  expect(text).toEndWith("\n");
  for (const line of text.slice(0, -1).split("\n")) {
    const head = /^# (HELP|TYPE) ([a-z_]+) (.+)$/.exec(line);
    if (head?.[1] === "TYPE") {
      expect(types.has(head[2] ?? "")).toBe(false);
      types.set(head[2] ?? "", head[3] ?? "");
    }
    if (head) continue;
    const sample =
      /^(([a-z_]+?)(?:_bucket|_sum|_count)?)((?:\{[a-z]+="[^"\\\n]*"(?:,[a-z]+="[^"\\\n]*")*\})?) (\+Inf|-?[0-9.e+-]+)$/.exec(
        line,
      );
    expect([line, sample !== null]).toEqual([line, true]);
    const [, name = "", family = "", labels = "", value = ""] = sample ?? [];
    expect([line, types.get(name) ?? types.get(family)]).not.toEqual([line, undefined]);
    expect(samples.has(name + labels)).toBe(false);
    samples.set(name + labels, Number(value));
  }
  return samples;
}

describe("GET /metrics", () => {
  const place = new BackupPlace();
  afterAll(() => place[Symbol.dispose]());
  const holder = useStage({ env: () => place.env() });
  const metrics = async () => read(await (await scrape(holder.stage.url)).text());

  test.each([
    ["without a password", "", 401],
    ["with a wrong password", basic("wrong"), 401],
    ["with another user's name", basic(ADMIN_PASSWORD, "root"), 401],
    ["with a token", "Bearer x", 401],
    ["with the admin's password", AUTHORIZATION, 200],
  ])("%s", async (_title, authorization, status) => {
    const answer = await scrape(holder.stage.url, authorization);
    const text = await answer.text();
    expect({ status: answer.status, shows: text.includes("kith_") }).toEqual({
      status,
      shows: status === 200,
    });
    const challenge = answer.headers.get("www-authenticate");
    if (status === 401) expect(challenge).toStartWith("Basic");
    else expect(challenge).toBeNull();
    if (status === 200)
      expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  });

  test("a member's session does not open it", async () => {
    const answer = await scrape(holder.stage.url, `Bearer ${holder.stage.alice.accessJwt}`);
    expect(answer.status).toBe(401);
  });

  test("nothing but GET and HEAD", async () => {
    const url = `${holder.stage.url}/metrics`;
    const headers = { authorization: AUTHORIZATION };
    expect((await fetch(url, { method: "POST", headers })).status).toBe(404);
    const head = await fetch(url, { method: "HEAD", headers });
    expect([head.status, await head.text()]).toEqual([200, ""]);
  });

  test("the admin socket needs no password", async () => {
    const unix = join(holder.stage.server.folder, "admin.sock");
    const answer = await fetch("http://localhost/metrics", { unix });
    expect(read(await answer.text()).get("kith_open_repos")).toBeGreaterThan(0);
  });

  test("it counts what was done, by names that are the server's own", async () => {
    const { stage } = holder;
    const nsid = "com.atproto.repo.createRecord";
    const name = `kith_http_requests_total{method="${nsid}",status="200"}`;
    const before = await metrics();
    await createRecord(stage.url, stage.alice, { collection: "app.bsky.feed.post", record: post("counted") });
    await xrpc(stage.url, "com.example.notOurs", {});
    await xrpc(stage.url, nsid, { body: {} });
    // A write may be answered a moment before its event is out.
    const published = "kith_events_published_total";
    const after = await waitFor("the event", async () => {
      const now = await metrics();
      return now.get(published) === before.get(published) ? undefined : now;
    });
    const risen = (key: string) => (after.get(key) ?? 0) - (before.get(key) ?? 0);
    expect(risen(name)).toBe(1);
    expect(risen(`kith_http_requests_total{method="${nsid}",status="401"}`)).toBe(1);
    expect(risen(published)).toBe(1);
    expect(risen("kith_sequencer_seq")).toBe(1);
    expect(after.get('kith_accounts{status="active"}')).toBe(2);
    expect(after.get("kith_firehose_subscribers")).toBe(1);
    const keys = [...after.keys()].join("\n");
    expect(keys).not.toContain("notOurs");
    expect(keys).not.toContain("did:");
    for (const key of ["process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"]) {
      expect(after.get(key)).toBeGreaterThan(0);
    }
    const started = after.get("process_start_time_seconds") ?? 0;
    expect(Math.abs(Date.now() / 1_000 - started)).toBeLessThan(600);
    expect(started).toBe(before.get("process_start_time_seconds") ?? 0);
    expect(after.get("kith_data_disk_free_bytes")).toBeGreaterThan(0);
    expect(after.get('kith_http_request_duration_seconds_count{kind="call"}')).toBeGreaterThan(2);
  });

  test("a backup and a drill are in it, with when the backup was last proven restorable", async () => {
    const { stage } = holder;
    const before = await metrics();
    expect([
      before.get("kith_backup_configured"),
      before.get("kith_backup_last_success_timestamp_seconds"),
      before.get("kith_drill_last_proven_timestamp_seconds"),
    ]).toEqual([1, 0, 0]);
    const startedAt = Date.now() / 1_000 - 1;
    const where = { folder: stage.server.folder, env: place.env() };
    expect((await place.run(["backup"], where)).code).toBe(0);
    expect((await place.run(["backup", "drill"], where)).code).toBe(0);
    const after = await metrics();
    expect(after.get("kith_backup_last_success_timestamp_seconds")).toBeGreaterThan(startedAt);
    expect(after.get("kith_backup_last_size_bytes")).toBeGreaterThan(1_000);
    expect(after.get("kith_drill_last_proven_timestamp_seconds")).toBeGreaterThan(startedAt);
    expect(after.get("kith_drill_last_attempt_failed")).toBe(0);
    expect(after.get("kith_backup_shipped_seq")).toBe(after.get("kith_sequencer_seq") as number);
    expect(after.get('kith_health{check="drill"}')).toBe(0);
  });
});

test("a destination that is gone is a lag that grows, and a health check that warns", async () => {
  using place = new BackupPlace();
  await using server = await TestServer.start({
    env: {
      ...place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" }),
      KITH_BACKUP_DESTINATION: "/dev/null/nothing",
    },
  });
  await waitFor("the failure of shipping, and the check that warns of it", async () => {
    const samples = read(await (await scrape(server.url)).text());
    const isFailing = samples.get("kith_backup_shipping_failing") === 1;
    return (isFailing && samples.get('kith_health{check="shipping"}') === 1) || undefined;
  });
});

test("guesses of the password are counted as calls of the admin are", async () => {
  await using server = await TestServer.start({ env: { PDS_RATE_LIMITS_ENABLED: "true" } });
  const limit = 3_000;
  const statuses = new Set<number>();
  for (let at = 0; at <= limit; at += 500) {
    const some = Array.from({ length: 500 }, () => scrape(server.url, basic("guess")));
    for (const answer of await Promise.all(some)) {
      statuses.add(answer.status);
      await answer.arrayBuffer();
    }
  }
  expect([...statuses].sort()).toEqual([401, 429]);
  expect((await scrape(server.url)).status).toBe(429);
}, 120_000);
