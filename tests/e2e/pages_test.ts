/** The pages of a server that need nobody to be signed in: what a browser gets, with whose name and colours, and how it is guarded. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TestServer } from "../harness.ts";
import { waitFor } from "../wait.ts";

const HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

describe("the front page", () => {
  const pictures = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) =>
      request.url.endsWith("/logo.png")
        ? new Response(PNG, { headers: { "Content-Type": "image/png" } })
        : new Response("no", { status: 404 }),
  });
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start({
      env: {
        PDS_SERVICE_NAME: "The <Cottage>",
        PDS_HOME_URL: "https://cottage.example",
        PDS_PRIMARY_COLOR: "#ffd400",
        PDS_PRIVACY_POLICY_URL: "https://cottage.example/privacy?a=1&b=2",
        PDS_LOGO_URL: new URL("/logo.png", pictures.url).href,
        PDS_BACKGROUND_DARK_URL: new URL("/dark.jpg", pictures.url).href,
      },
    });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await pictures.stop(true);
  });
  const get = (path: string, headers: Record<string, string> = { Accept: HTML }) =>
    fetch(new URL(path, server.url), { headers });

  test("is a page for browsers and plain words for everything else", async () => {
    const [page, plain] = [await get("/"), await get("/", { Accept: "*/*" })];
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    expect(page.headers.get("vary")).toContain("Accept");
    expect(plain.headers.get("content-type")).toStartWith("text/plain");
    expect(await plain.text()).toContain("/xrpc/com.atproto.server.describeServer");
    const html = await page.text();
    expect(html).toContain("Welcome to The &lt;Cottage&gt;");
    expect(html).toContain('href="https://cottage.example/privacy?a=1&amp;b=2"');
    expect(html).toContain(server.url.replace(/\/$/, ""));
  });

  test("speaks the browser's language, or the one that was chosen", async () => {
    const german = await (await get("/", { Accept: HTML, "Accept-Language": "de-DE,de;q=0.9" })).text();
    const chosen = await (await get("/?lang=de")).text();
    expect(german).toContain('<html lang="de">');
    expect(chosen).toContain("Willkommen bei The &lt;Cottage&gt;");
  });

  test("runs and shows what its nonce allows, a fresh one each time", async () => {
    const nonces = new Set<string>();
    for (let round = 0; round < 3; round++) {
      const page = await get("/");
      const nonce =
        /script-src 'nonce-([\w-]{22})'/.exec(page.headers.get("content-security-policy") ?? "")?.[1] ?? "";
      nonces.add(nonce);
      const html = await page.text();
      expect(
        html
          .match(/<(script|link rel="stylesheet")[^>]*>/g)
          ?.every((tag) => tag.includes(`nonce="${nonce}"`)),
      ).toBe(true);
    }
    expect(nonces.size).toBe(3);
  });

  test("its files are kept by browsers for good", async () => {
    const html = await (await get("/")).text();
    for (const path of html.match(/\/oauth\/assets\/[\w.-]+/g) ?? []) {
      const file = await get(path);
      expect([path, file.status, file.headers.get("cache-control")]).toEqual([
        path,
        200,
        "public, max-age=31536000, immutable",
      ]);
      expect(file.headers.get("x-content-type-options")).toBe("nosniff");
      if (path.endsWith(".css")) expect(await file.text()).toContain("--on-primary:#000000");
    }
    expect((await get("/oauth/assets/page-other.css")).status).toBe(404);
    expect((await get("/oauth/assets/..%2f..%2fsecrets.json")).status).toBe(404);
  });

  test("the logo comes from this server; a picture that is not there is left out and told of", async () => {
    const path = await waitFor("the logo", async () => {
      const html = await (await get("/")).text();
      return /<img src="(\/oauth\/assets\/logo-[\w-]{16}\.png)"/.exec(html)?.[1];
    });
    const logo = await get(path);
    expect([logo.headers.get("content-type"), new Uint8Array(await logo.arrayBuffer())]).toEqual([
      "image/png",
      PNG,
    ]);
    await waitFor("the warning", () =>
      /Could not get a picture for the pages.*backgroundDark/s.test(server.output),
    );
  });
});
