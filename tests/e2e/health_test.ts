/** dev.kith.admin.getHealth and `kith health`: who may ask, what they tell, and the exit code that a script goes by. */
import { afterAll, describe, expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { BackupPlace } from "../backup_parts.ts";
import { xrpc } from "../client.ts";
import { ADMIN_PASSWORD } from "../harness.ts";
import { useStage } from "../stage.ts";

const GET_HEALTH = "dev.kith.admin.getHealth";
const AUTHORIZATION = `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}`;
const NAMES = ["disk", "events", "backup", "shipping", "drill", "mail", "relays"];

interface Health {
  readonly state: string;
  readonly lastProvenAt?: string;
  readonly checks: readonly { name: string; state: string; reason: string; message: string; todo?: string }[];
}

describe("the health of a server", () => {
  const place = new BackupPlace();
  afterAll(() => place[Symbol.dispose]());
  const holder = useStage({ env: () => place.env() });
  const kith = (...args: string[]) =>
    place.run(args, { folder: holder.stage.server.folder, env: place.env() });
  const stateOf = ({ checks }: Health, name: string) => checks.find((check) => check.name === name);

  test.each([
    ["nothing", {}, 401],
    ["a wrong password", { authorization: `Basic ${btoa("admin:wrong")}` }, 401],
    ["the admin's password", { authorization: AUTHORIZATION }, 200],
  ])("is asked for with %s", async (_title, headers, status) => {
    const { stage } = holder;
    const answer = await xrpc(stage.url, GET_HEALTH, { headers });
    expect(answer.status).toBe(status);
    if (status !== 200) return;
    const health = answer.json as unknown as Health;
    expect(health.checks.map(({ name }) => name)).toEqual(NAMES);
    for (const { message } of health.checks) expect(message).toMatch(/^\S.*\.$/s);
  });

  test("is not told to a member, nor to those who ask for the version", async () => {
    const { stage } = holder;
    const answer = await xrpc(stage.url, GET_HEALTH, { token: stage.alice.accessJwt });
    expect(answer.status).toBe(401);
    const plain = await fetch(`${stage.url}/xrpc/_health?detail=1`, {
      headers: { authorization: AUTHORIZATION },
    });
    expect(Object.keys((await plain.json()) as object)).toEqual(["version"]);
  });

  test("is a table on the command line, and JSON for scripts", async () => {
    const { code, out, err } = await kith("health");
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/^CHECK {2,}STATE {2,}SINCE {2,}WHAT\n/);
    for (const name of NAMES) expect(out).toMatch(new RegExp(`^${name} +(ok|warn|fail) `, "m"));
    expect(out).toMatch(/^Last proven restorable {2}never$/m);
    const json = JSON.parse((await kith("health", "--json")).out) as Health;
    expect(stateOf(json, "drill")).toMatchObject({ state: "ok", reason: "drillNotYet" });
  });

  test("says when a backup was last proven restorable, and fails where a drill did", async () => {
    expect((await kith("backup")).code).toBe(0);
    expect((await kith("backup", "drill")).code).toBe(0);
    const proven = JSON.parse((await kith("health", "--json")).out) as Health;
    expect(stateOf(proven, "drill")).toMatchObject({ state: "ok", reason: "drillProven" });
    expect(Date.parse(proven.lastProvenAt ?? "")).toBeGreaterThan(Date.now() - 600_000);
    rmSync(join(place.path, "destination"), { recursive: true });
    expect((await kith("backup", "drill")).code).toBe(1);
    const { code, out } = await kith("health");
    expect(code).toBe(1);
    expect(out).toMatch(/^drill +fail +\S.* ago +The last drill failed: .+ Proven last on /m);
    expect(out).toContain("drill: Do not rely on the backup");
    // It is still known when it was proven.
    expect(out).toMatch(/^Last proven restorable {2}2.+ ago\)$/m);
  });

  test("is asked of nobody where no server runs", async () => {
    using elsewhere = new BackupPlace();
    const { code, err } = await place.run(["health"], { folder: elsewhere.path });
    expect(code).toBe(1);
    expect(err).toContain("is no data folder of kith");
  });
});
