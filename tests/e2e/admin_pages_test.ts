/** The operator's pages: who gets in, and that what they show and begin is what the server has and does. */
import { afterAll, describe, expect, test } from "bun:test";
import { BackupPlace } from "../backup_parts.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { type Page, PageVisitor } from "../page_visitor.ts";
import { useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const SIGN_IN = "/admin/sign-in";

async function signIn(
  url: string,
  password = ADMIN_PASSWORD,
  from: Record<string, string> = {},
): Promise<{ visitor: PageVisitor; page: Page }> {
  const visitor = new PageVisitor(url, from);
  const page = await visitor.submit(await visitor.get("/admin"), SIGN_IN, { password });
  return { visitor, page };
}

describe("the operator's pages", () => {
  const place = new BackupPlace();
  afterAll(() => place[Symbol.dispose]());
  const holder = useStage({ env: () => place.env() });

  test.each(["/admin", "/admin/", "/admin/accounts"])("%s leads strangers to the sign-in", async (path) => {
    const page = await new PageVisitor(holder.stage.url).get(path);
    expect({ path: page.path, status: page.status, title: page.title }).toEqual({
      ...{ path: SIGN_IN, status: 200, title: "Sign in as the operator" },
    });
    expect(page.text).not.toContain(holder.stage.alice.did);
  });

  test("no answer can be framed, kept, or read by another origin", async () => {
    const { stage } = holder;
    for (const path of ["/admin", SIGN_IN, "/admin/nothing"]) {
      const answer = await fetch(stage.url + path, { headers: { origin: "https://evil.example" } });
      await answer.arrayBuffer();
      expect([path, answer.headers.get("access-control-allow-origin")]).toEqual([path, null]);
      expect([path, answer.headers.get("cache-control")]).toEqual([path, "no-store"]);
      expect(answer.headers.get("content-security-policy")).toContain("frame-ancestors 'none'");
    }
  });

  test("a wrong password is told, and opens nothing", async () => {
    const { visitor, page } = await signIn(holder.stage.url, "wrong");
    expect([page.status, page.path]).toEqual([400, SIGN_IN]);
    expect(page.text).toContain("This is not the admin password.");
    expect([...visitor.cookies.keys()]).not.toContain("kith-admin");
    expect((await visitor.get("/admin")).path).toBe(SIGN_IN);
  });

  test("a member who is signed in is no operator", async () => {
    const { stage } = holder;
    const answer = await fetch(`${stage.url}/admin`, {
      headers: { authorization: `Bearer ${stage.alice.accessJwt}` },
      redirect: "manual",
    });
    expect([answer.status, answer.headers.get("location")]).toEqual([303, SIGN_IN]);
  });

  test("the overview shows health, backups and the server; accounts are listed with their sizes", async () => {
    const { stage } = holder;
    const { visitor, page } = await signIn(stage.url);
    expect([page.status, page.path, page.title]).toEqual([200, "/admin", "Administration"]);
    for (const words of ["Last proven restorable", "never", "Disk", "Back up now", "2 active", "kith "]) {
      expect(page.text).toContain(words);
    }
    const accounts = await visitor.get("/admin/accounts");
    expect(accounts.text).toContain(stage.alice.did);
    expect(accounts.text).toContain(`@${stage.alice.handle} active`);
    expect(accounts.text).toMatch(/repo \d+(\.\d)? kB, blobs 0 byte/);
    const german = await visitor.get("/admin?lang=de");
    expect(german.text).toContain("Zuletzt als wiederherstellbar erwiesen");
    await visitor.get("/admin?lang=en");
    expect((await visitor.get("/admin/accounts?cursor=nonsense")).status).toBe(400);
    expect((await visitor.get("/admin/nothing")).status).toBe(404);
  });

  test("a backup and a drill are begun, and then the backup is proven restorable", async () => {
    const { visitor, page } = await signIn(holder.stage.url);
    const begun = await visitor.submit(page, "/admin/backup");
    expect(begun.text).toContain("The snapshot has begun.");
    const backedUp = await waitFor("the snapshot", async () => {
      const now = await visitor.get("/admin");
      return now.text.includes(" in all, ") && now.forms.some(({ action }) => action === "/admin/backup")
        ? now
        : undefined;
    });
    const drilling = await visitor.submit(backedUp, "/admin/drill");
    expect(drilling.text).toContain("The drill has begun.");
    const proven = await waitFor("the drill", async () => {
      const now = await visitor.get("/admin");
      return now.text.includes("Proven on ") ? now : undefined;
    });
    expect(proven.text).toContain("nothing would be lost");
    expect(proven.text).toContain("All is well.");
  });

  test("a form without its token, or of another site, does nothing", async () => {
    const { visitor } = await signIn(holder.stage.url);
    const without = await visitor.post("/admin/backup", "csrf=nonsense");
    expect(without.status).toBe(403);
    const foreign = { Origin: "https://evil.example", "Sec-Fetch-Site": "cross-site" };
    expect((await visitor.post("/admin/sign-out", "", foreign)).status).toBe(403);
    expect((await visitor.get("/admin")).path).toBe("/admin");
  });

  test("a form of a browser that is not signed in leads to the sign-in", async () => {
    const { visitor, page } = await signIn(holder.stage.url);
    visitor.cookies.delete("kith-admin");
    const answer = await visitor.submit(page, "/admin/backup");
    expect(answer.path).toBe(SIGN_IN);
  });

  test("signing out ends the session itself, not only the cookie", async () => {
    const { visitor, page } = await signIn(holder.stage.url);
    const cookie = visitor.cookies.get("kith-admin") ?? "";
    const out = await visitor.submit(page, "/admin/sign-out");
    expect(out.path).toBe(SIGN_IN);
    visitor.cookies.set("kith-admin", cookie);
    expect((await visitor.get("/admin")).path).toBe(SIGN_IN);
  });
});

test("guesses of the password are locked out, the right one too, and other ways in stay open", async () => {
  await using server = await TestServer.start({ env: { KITH_LOGIN_FAILURES_MAX: "3" } });
  for (let at = 0; at < 3; at++) expect((await signIn(server.url, `guess ${at}`)).page.status).toBe(400);
  const { page } = await signIn(server.url);
  expect(page.status).toBe(429);
  expect(page.text).toContain("Too many tries. Please wait 15 minutes");
  const authorization = `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}`;
  expect((await fetch(`${server.url}/metrics`, { headers: { authorization } })).status).toBe(200);
});

test("strangers who guess from many networks do not keep the operator out of another one", async () => {
  await using server = await TestServer.start({ env: { KITH_LOGIN_FAILURES_MAX: "1" } });
  const from = (network: number) => ({ "X-Forwarded-For": `2001:db8:0:${network.toString(16)}::1` });
  const guessed = [];
  for (let at = 0; at < 11; at++) guessed.push((await signIn(server.url, "a guess", from(at))).page.status);
  expect(guessed).toEqual(guessed.map(() => 400));
  expect((await signIn(server.url, ADMIN_PASSWORD, from(0))).page.status).toBe(429);
  expect((await signIn(server.url, ADMIN_PASSWORD, from(11))).page.path).toBe("/admin");
});

test("a restart signs the operator out", async () => {
  await using server = await TestServer.start();
  const { visitor } = await signIn(server.url);
  await server.stop();
  await server.start();
  expect((await visitor.get("/admin")).path).toBe(SIGN_IN);
});
