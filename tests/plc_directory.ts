/** The real `@did-plc/server` in a process of its own, and a stand-in before it that fails as networks do. */
import { join } from "node:path";
import { within } from "./wait.ts";

export class PlcDirectory implements AsyncDisposable {
  readonly url: string;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "inherit">;

  private constructor(url: string, process: Bun.Subprocess<"ignore", "pipe", "inherit">) {
    this.url = url;
    this.#process = process;
  }

  static async start(): Promise<PlcDirectory> {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "plc_process.ts")], {
      env: { ...process.env, LOG_ENABLED: "false", LOG_LEVEL: "silent" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    return new PlcDirectory(await within("the PLC directory", printedUrl(child.stdout)), child);
  }

  /** The DID document, or undefined when the directory does not know the DID. */
  async document(did: string): Promise<Record<string, unknown> | undefined> {
    const answer = await fetch(`${this.url}/${did}`);
    return answer.ok ? ((await answer.json()) as Record<string, unknown>) : undefined;
  }

  /** The operations of a DID, oldest first. */
  async log(did: string): Promise<Record<string, unknown>[]> {
    const answer = await fetch(`${this.url}/${did}/log`);
    if (!answer.ok) throw new Error(`The PLC directory answers ${answer.status} for "${did}"`);
    return (await answer.json()) as Record<string, unknown>[];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }
}

async function printedUrl(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`The PLC directory ended: ${text}`);
    text += decoder.decode(value, { stream: true });
    const url = /PLC (http:\/\/localhost:\d+)\n/.exec(text)?.[1];
    if (!url) continue;
    void drain(reader);
    return url;
  }
}

async function drain(reader: { read(): Promise<{ done: boolean }> }): Promise<void> {
  while (!(await reader.read()).done);
}

/**
 * How the stand-in treats an operation: hands it on, answers 500, answers 400, or hands it on and then loses the answer
 * (the operation is in the directory, and its sender cannot know); or it never answers, with the operation in the
 * directory or without it. Where it is down, it answers no question either.
 */
export type PlcFault =
  | "none"
  | "is-down"
  | "fails"
  | "refuses"
  | "loses-answer"
  | "takes-silently"
  | "drops-silently";

/** Stands between the server and the directory. */
export class FaultyPlc implements AsyncDisposable {
  fault: PlcFault = "none";
  /** Operations that were not answered. */
  unanswered = 0;
  /** The DIDs that operations were sent for, those that were not handed on too. */
  readonly dids = new Set<string>();
  readonly #server: Bun.Server<undefined>;

  constructor(directory: PlcDirectory) {
    this.#server = Bun.serve({
      port: 0,
      hostname: "localhost",
      fetch: async (request) => {
        if (request.method === "POST")
          this.dids.add(decodeURIComponent(new URL(request.url).pathname).slice(1));
        if (this.fault === "is-down") return new Response("no server is up", { status: 503 });
        if (request.method === "GET" || this.fault === "none") return forward(request, directory.url);
        if (this.fault === "fails") return new Response("database is down", { status: 500 });
        if (this.fault === "refuses") return Response.json({ message: "Invalid operation" }, { status: 400 });
        if (this.fault !== "drops-silently") await forward(request, directory.url);
        if (this.fault.endsWith("silently")) {
          this.unanswered += 1;
          return new Promise<never>(() => {});
        }
        return new Response("gateway timed out", { status: 504 });
      },
    });
  }

  get url(): string {
    return `http://localhost:${this.#server.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

async function forward(request: Request, base: string): Promise<Response> {
  const path = new URL(request.url).pathname;
  const body = request.method === "GET" ? undefined : await request.text();
  const answer = await fetch(`${base}${path}`, {
    method: request.method,
    headers: { "content-type": "application/json" },
    body,
  });
  return new Response(await answer.text(), {
    status: answer.status,
    headers: { "content-type": answer.headers.get("content-type") ?? "application/json" },
  });
}
