/** The page of an app, on an address of its own. */
import { join } from "node:path";

export interface AppServer extends Disposable {
  readonly url: string;
  readonly origin: string;
}

export async function startApp(setup: { server: string; scope: string }): Promise<AppServer> {
  const built = await Bun.build({ entrypoints: [join(import.meta.dir, "app_page.ts")], target: "browser" });
  if (!built.success) throw new AggregateError(built.logs, "Could not build the app's page");
  const script = await built.outputs[0]?.text();
  const html = `<!doctype html><html lang="en"><title>App</title><link rel="icon" href="data:,"><body><h1>App</h1><script type="module" src="/app.js"></script></body></html>`;
  const served = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      // What an app gets that is answered by a form (response_mode=form_post).
      if (request.method === "POST")
        return Response.json(Object.fromEntries(new URLSearchParams(await request.text())));
      const { pathname } = new URL(request.url);
      if (pathname === "/app.js")
        return new Response(script ?? "", { headers: { "Content-Type": "text/javascript" } });
      if (pathname === "/setup.json") return Response.json(setup);
      return new Response(html, { headers: { "Content-Type": "text/html; charset=utf-8" } });
    },
  });
  const origin = `http://127.0.0.1:${served.port}`;
  return { url: `${origin}/`, origin, [Symbol.dispose]: () => void served.stop(true) };
}
