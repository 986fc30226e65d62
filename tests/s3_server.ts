/** Real S3 servers in processes of their own, and a stand-in before one that fails as networks and services do. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { takePort } from "./ports.ts";
import { within } from "./wait.ts";

export const S3_BUCKET = "blobs";
export const S3_KEY = "S3RVER";
export const S3_SECRET = "S3RVER";

/** "lenient" takes any secret, "strict" refuses a wrong one. */
export type S3Kind = "lenient" | "strict";
const PACKAGES: Readonly<Record<S3Kind, string>> = { lenient: "s3rver", strict: "@20minutes/s3rver" };

export class S3Server implements AsyncDisposable {
  readonly #kind: S3Kind;
  readonly folder = mkdtempSync(join(tmpdir(), "kith-s3-"));
  #process: Bun.Subprocess<"ignore", "pipe", "inherit"> | undefined;
  readonly #port = takePort();

  private constructor(kind: S3Kind) {
    this.#kind = kind;
  }

  static async start(kind: S3Kind = "lenient"): Promise<S3Server> {
    const server = new S3Server(kind);
    await server.start();
    return server;
  }

  /** Starts it, on the port of before. */
  async start(): Promise<void> {
    const script = join(import.meta.dir, "s3_process.cjs");
    const child = Bun.spawn(["node", script, PACKAGES[this.#kind], this.folder, String(this.#port)], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#process = child;
    await within("the S3 server", printedPort(child.stdout));
  }

  async stop(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The keys in the bucket, sorted. */
  keys(): string[] {
    const names = readdirSync(join(this.folder, S3_BUCKET), { recursive: true, encoding: "utf8" });
    return names
      .filter((name) => name.endsWith("._S3rver_object"))
      .map((name) => name.slice(0, -"._S3rver_object".length))
      .sort();
  }

  /** Takes an object away behind everybody's back. */
  remove(key: string): void {
    for (const part of ["object", "metadata.json", "object.md5"]) {
      rmSync(join(this.folder, S3_BUCKET, `${key}._S3rver_${part}`), { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

async function printedPort(stream: ReadableStream<Uint8Array>): Promise<number> {
  let text = "";
  for await (const chunk of stream) {
    text += new TextDecoder().decode(chunk);
    const port = /S3 http:\/\/127\.0\.0\.1:(\d+)\n/.exec(text)?.[1];
    if (port) return Number(port);
  }
  throw new Error(`The S3 server ended: ${text}`);
}

/** The settings of a server whose blobs are at `endpoint`. */
export function s3Env(endpoint: string, env: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    PDS_BLOBSTORE_S3_BUCKET: S3_BUCKET,
    PDS_BLOBSTORE_S3_ENDPOINT: endpoint,
    PDS_BLOBSTORE_S3_REGION: "us-east-1",
    PDS_BLOBSTORE_S3_ACCESS_KEY_ID: S3_KEY,
    PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY: S3_SECRET,
    ...env,
  };
}

/** The size of a blob whose answer may be broken off. */
export const BROKEN_BYTES = 300_000;

/**
 * What the stand-in does to a request of a method: hands it on, answers with a status or with something that is not S3's,
 * takes it and never answers, answers the head alone, breaks off in the middle of the body, or closes at once.
 */
export type S3Fault =
  | "none"
  | "500"
  | "503"
  | "garbage"
  | "stalls"
  | "stalls-in-body"
  | "cuts-body"
  | "closes";

/** What is answered; longer is what is announced and does not come. */
const ANSWERS: Partial<Record<S3Fault, { status: string; body: string; length?: number }>> = {
  "500": { status: "500 Internal Server Error", body: "<Error><Code>InternalError</Code></Error>" },
  "503": { status: "503 Slow Down", body: "<Error><Code>SlowDown</Code></Error>" },
  garbage: { status: "200 OK", body: "<html>Sign in to this hotel's network</html>" },
  "stalls-in-body": { status: "200 OK", body: "x".repeat(1_000), length: BROKEN_BYTES },
  "cuts-body": { status: "200 OK", body: "x".repeat(1_000), length: BROKEN_BYTES },
};

export class FaultyS3 implements AsyncDisposable {
  /** By HTTP method. */
  faults: Partial<Record<string, S3Fault>> = {};
  /** Requests that were failed, by method. */
  readonly failed: string[] = [];
  readonly #target: () => number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #port = 0;

  private constructor(target: () => number) {
    this.#target = target;
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async start(target: Pick<S3Server, "port">): Promise<FaultyS3> {
    const proxy = new FaultyS3(() => target.port);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.#port = (proxy.#server.address() as { port: number }).port;
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => {});
    socket.once("data", (first: Buffer) => {
      const method = first.toString("latin1").split(" ", 1)[0] ?? "";
      const fault = this.faults[method] ?? "none";
      if (fault === "none") return this.#pass(socket, first);
      this.failed.push(method);
      this.#fail(socket, fault);
    });
  }

  #fail(socket: Socket, fault: S3Fault): void {
    // Whatever follows is read and dropped, as by a service that has given up.
    socket.on("data", () => {});
    if (fault === "stalls") return;
    const answer = ANSWERS[fault];
    if (answer === undefined) {
      socket.destroy();
      return;
    }
    const { status, body, length = body.length } = answer;
    const head = `HTTP/1.1 ${status}\r\n${length > body.length ? 'etag: "0"\r\n' : ""}content-length: ${length}\r\nconnection: close\r\n\r\n`;
    socket.write(head + body);
    if (fault !== "stalls-in-body") socket.end();
  }

  #pass(socket: Socket, first: Buffer): void {
    const onward = connect(this.#target(), "127.0.0.1");
    onward.on("error", () => socket.destroy());
    socket.on("close", () => onward.destroy());
    // One request a connection, so that each is looked at.
    const alone = first.toString("latin1").replace(/connection: keep-alive/i, "connection: close");
    onward.write(Buffer.from(alone, "latin1"));
    socket.pipe(onward);
    onward.pipe(socket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
