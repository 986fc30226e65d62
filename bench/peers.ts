/** The two servers, each a process in a folder of its own, set as they are run in production, without rate limits. */
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { isReferenceInstalled, referenceCommand } from "../tools/reference.ts";
import { HOST } from "./load/request_bytes.ts";

export type PeerName = "reference" | "kith";
export const PEERS: readonly PeerName[] = ["reference", "kith"];
export type KeyType = "k256" | "p256";

export const HANDLE_DOMAIN = `.${HOST}`;
export const JWT_SECRET = "jwt-secret-of-the-bench-0123456789";
export const SERVICE_DID = `did:web:${HOST}`;
const ROTATION_KEY = "7a".repeat(32);
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 30_000;
const LOOK_MS = 1;

/** What both are told. With a public host name neither is in dev mode, where both check their own answers. */
function commonSettings(port: number, folder: string, plcUrl: string): Record<string, string> {
  return {
    NODE_ENV: "production",
    LOG_ENABLED: "false",
    PDS_HOSTNAME: HOST,
    PDS_PORT: String(port),
    PDS_DATA_DIRECTORY: folder,
    PDS_DID_PLC_URL: plcUrl,
    PDS_INVITE_REQUIRED: "false",
    PDS_RATE_LIMITS_ENABLED: "false",
    PDS_CRAWLERS: "",
    // The directory is on this machine.
    PDS_DISABLE_SSRF_PROTECTION: "true",
    PDS_ADMIN_PASSWORD: "admin-password-of-the-bench",
    PDS_JWT_SECRET: JWT_SECRET,
    PDS_BLOB_UPLOAD_LIMIT: String(100 * 1024 * 1024),
    PDS_SERVICE_HANDLE_DOMAINS: HANDLE_DOMAIN,
  };
}

/** Everything else is as it is by default, durability above all. Fifty subscribers come from one address here. */
export function kithSettings(port: number, folder: string, plcUrl: string): Record<string, string> {
  const settings = { ...commonSettings(port, folder, plcUrl), KITH_SUBSCRIBERS_PER_NETWORK_MAX: "100" };
  return Object.fromEntries(Object.entries(settings).filter(([name]) => name !== "NODE_ENV"));
}

function referenceSettings(port: number, folder: string, plcUrl: string): Record<string, string> {
  return {
    ...commonSettings(port, folder, plcUrl),
    PDS_SERVICE_DID: SERVICE_DID,
    PDS_BLOBSTORE_DISK_LOCATION: join(folder, "blobs"),
    PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: ROTATION_KEY,
  };
}

export interface LaunchOptions {
  readonly name: PeerName;
  readonly plcUrl: string;
  /** What runs kith: the executable, or Bun with its profiler. */
  readonly kithCommand: readonly string[];
  /** Ended as an operator would, so that a profile is written. */
  readonly endsGently?: boolean;
  /** Below which data folders are made. */
  readonly tmp: string;
  /** A data folder to start on; otherwise a fresh one, removed at the end. */
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export class Peer implements AsyncDisposable {
  readonly name: PeerName;
  readonly port: number;
  readonly folder: string;
  /** From the start of the process to its first healthy answer. */
  startMs = 0;
  readonly #ownsFolder: boolean;
  readonly #endsGently: boolean;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  #output = "";

  private constructor(port: number, options: LaunchOptions) {
    const { name, plcUrl, kithCommand, tmp } = options;
    this.name = name;
    this.port = port;
    this.#ownsFolder = options.folder === undefined;
    this.#endsGently = options.endsGently ?? false;
    this.folder = options.folder ?? freshFolder(tmp, name);
    const settings = (name === "kith" ? kithSettings : referenceSettings)(port, this.folder, plcUrl);
    const command = name === "kith" ? [...kithCommand, "serve"] : referenceCommand("serve.mjs");
    this.#process = Bun.spawn(command, {
      cwd: this.folder,
      env: { PATH: process.env.PATH, HOME: this.folder, ...settings, ...options.env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    void this.#pump(this.#process.stdout);
    void this.#pump(this.#process.stderr);
  }

  /** Starts it and waits for its first healthy answer. */
  static async launch(options: LaunchOptions): Promise<Peer> {
    if (options.name === "reference" && !isReferenceInstalled()) {
      throw new Error('Install the reference PDS first: "bun tools/reference.ts"');
    }
    const port = freePort();
    const began = performance.now();
    const peer = new Peer(port, options);
    try {
      await peer.#healthy(began + START_LIMIT_MS);
    } catch (error) {
      const output = peer.#output;
      await peer[Symbol.asyncDispose]();
      throw new Error(`"${options.name}" did not start: ${output}`, { cause: error });
    }
    peer.startMs = performance.now() - began;
    return peer;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Ends it as an operator would. */
  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    const late = setTimeout(() => this.#process.kill("SIGKILL"), STOP_LIMIT_MS);
    await this.#process.exited;
    clearTimeout(late);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#endsGently) await this.stop();
    this.#process.kill("SIGKILL");
    await this.#process.exited;
    if (this.#ownsFolder) rmSync(this.folder, { recursive: true, force: true });
  }

  async #healthy(deadline: number): Promise<void> {
    while (!(await isHealthy(this.port))) {
      if (this.#process.exitCode !== null) throw new Error("The process ended");
      if (performance.now() > deadline) throw new Error("It does not answer");
      await Bun.sleep(LOOK_MS);
    }
  }

  async #pump(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.#output += decoder.decode(chunk, { stream: true });
  }
}

export function freshFolder(tmp: string, name: string): string {
  if (!existsSync(tmp)) mkdirSync(tmp, { recursive: true });
  return mkdtempSync(join(tmp, `kith-bench-${name}-`));
}

/** One bare request: a client that itself takes milliseconds to start would be measured with the server. */
function isHealthy(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("error", () => resolve(false));
    socket.on("close", () => resolve(false));
    socket.on("data", (data) => {
      resolve(data.toString("latin1").startsWith("HTTP/1.1 200"));
      socket.destroy();
    });
    socket.write(`GET /xrpc/_health HTTP/1.1\r\nhost: ${HOST}\r\nconnection: close\r\n\r\n`);
  });
}

function freePort(): number {
  const probe = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const { port } = probe;
  probe.stop(true);
  if (port === undefined) throw new Error("No port is free");
  return port;
}
