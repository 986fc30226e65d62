/**
 * The real server as a child process: `bun src/main.ts serve`, or the executable that KITH_BINARY names, in a folder
 * of its own, on a port of its own. It can be killed at any moment and started again on the same folder and port.
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { takePort } from "./ports.ts";
import { waitFor, within } from "./wait.ts";

const ROOT = join(import.meta.dir, "..");
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 60_000;
const URL_IN_OUTPUT = /https?:\/\/(?:localhost|127\.0\.0\.1):(\d+)/g;

/** What the server logs of an answer, or an error, that is not its lexicon's. */
const DEVIATION =
  /The answer of \S+ is not its lexicon's.{0,200}|An error is not declared by its method's lexicon.{0,200}/;

export const ADMIN_PASSWORD = "admin-password-of-the-tests";
export const JWT_SECRET = "jwt-secret-of-the-tests-0123456789";

export type KeyType = "k256" | "p256";
/** Every end-to-end test runs once for each. */
export const KEY_TYPES: readonly KeyType[] = ["k256", "p256"];

/** The settings of every test server, before those of the single test. */
const BASE_ENV: Readonly<Record<string, string>> = {
  PDS_PORT: "0",
  PDS_DEV_MODE: "true",
  PDS_ADMIN_PASSWORD: ADMIN_PASSWORD,
  PDS_JWT_SECRET: JWT_SECRET,
  // Of the record types of the tests nobody in the network is to be asked.
  KITH_LEXICON_RESOLUTION: "false",
};

export interface ServerOptions {
  /** Settings over the base; undefined takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A data folder to use again; otherwise a fresh one, removed at the end. */
  readonly folder?: string;
  /** What is run instead of `kith serve`. */
  readonly command?: readonly string[];
}

export interface Exit {
  readonly code: number | null;
  readonly output: string;
}

/** This process's environment without any setting of a server, plus the given ones. */
export function serverEnv(env: ServerOptions["env"] = {}): Record<string, string> {
  const clean = Object.entries(process.env).filter(([name]) => !/^(PDS|KITH|LOG)_/.test(name));
  const all = { ...Object.fromEntries(clean), ...BASE_ENV, ...env };
  return Object.fromEntries(
    Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** The command that runs kith, with its arguments. */
export function kithCommand(...args: string[]): string[] {
  const binary = process.env.KITH_BINARY;
  return binary ? [binary, ...args] : [process.execPath, join(ROOT, "src/main.ts"), ...args];
}

/** Runs `kith serve` where it is expected to refuse; its exit code and everything it printed. */
export async function runToExit(options: ServerOptions): Promise<Exit> {
  const server = new TestServer(options);
  try {
    server.spawn();
    const code = await within("the refusal", server.exited(), START_LIMIT_MS);
    return { code, output: await server.wholeOutput() };
  } finally {
    await server[Symbol.asyncDispose]();
  }
}

export class TestServer implements AsyncDisposable {
  readonly folder: string;
  readonly #ownsFolder: boolean;
  readonly #command: readonly string[];
  readonly #env: Record<string, string | undefined>;
  #process: Bun.Subprocess<"ignore", "pipe", "pipe"> | undefined;
  #pumps: Promise<void>[] = [];
  #port = 0;
  /** Everything that all the processes of this server have printed. */
  output = "";

  constructor(options: ServerOptions = {}) {
    this.#ownsFolder = options.folder === undefined;
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), "kith-test-"));
    this.#command = options.command ?? kithCommand("serve");
    this.#env = { PDS_DATA_DIRECTORY: this.folder, ...options.env };
  }

  /** Starts a server and waits until it answers. */
  static async start(options: ServerOptions = {}): Promise<TestServer> {
    const server = new TestServer(options);
    try {
      await server.start();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  get url(): string {
    return `http://localhost:${this.#port}`;
  }

  get port(): number {
    return this.#port;
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** Changes a setting for the next start. */
  set(name: string, value: string | undefined): void {
    this.#env[name] = value;
  }

  /** Starts the process without waiting for it to answer. */
  spawn(): void {
    if (this.#port === 0 && this.#env.PDS_PORT === undefined) this.#port = takePort();
    const child = Bun.spawn([...this.#command], {
      cwd: this.folder,
      env: serverEnv({ ...this.#env, ...(this.#port ? { PDS_PORT: String(this.#port) } : {}) }),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#process = child;
    this.#pumps = [this.#pump(child.stdout), this.#pump(child.stderr)];
  }

  /** Starts the process (on the port of before, if there was one), and waits until it has said where it is and answers there. */
  async start(): Promise<void> {
    const printedBefore = this.output.length;
    this.spawn();
    const child = this.#process;
    await waitFor(
      `the server to answer; it printed:\n${this.output.slice(printedBefore)}`,
      async () => {
        if (isGone(child)) return "exited" as const;
        for (const port of this.#printedPorts(printedBefore)) {
          if (this.#port !== 0 && port !== this.#port) continue;
          const health = await fetch(`http://localhost:${port}/xrpc/_health`).catch(() => undefined);
          if (!health?.ok) continue;
          this.#port = port;
          return "up" as const;
        }
        return undefined;
      },
      START_LIMIT_MS,
    ).catch((error: unknown) => {
      throw new Error(`The server did not start:\n${this.output.slice(printedBefore)}`, { cause: error });
    });
    if (isGone(child)) {
      await Promise.all(this.#pumps);
      throw new Error(
        `The server ended with ${child?.signalCode ?? `code ${child?.exitCode}`}:\n${this.output.slice(printedBefore)}`,
      );
    }
  }

  /** Kills the process as `kill -9` does, and waits until it is gone. */
  async kill(): Promise<void> {
    this.#process?.kill("SIGKILL");
    await this.#process?.exited;
    await Promise.all(this.#pumps);
  }

  /** Asks the process to end (SIGTERM), and returns its exit code. */
  async stop(): Promise<number | null> {
    this.#process?.kill("SIGTERM");
    return within("the server to end", this.exited(), STOP_LIMIT_MS);
  }

  /** Its exit code; all that it has printed is in `output` then. */
  async exited(): Promise<number | null> {
    await this.#process?.exited;
    await Promise.all(this.#pumps);
    return this.#process?.exitCode ?? null;
  }

  /** Everything printed, once the process has ended. */
  async wholeOutput(): Promise<string> {
    await Promise.all(this.#pumps);
    return this.output;
  }

  /** Resident memory in bytes. */
  memory(): number {
    const status = readFileSync(`/proc/${this.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
  }

  /** Open file descriptors, sockets included. */
  descriptors(): number {
    return readdirSync(`/proc/${this.pid}/fd`).length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#process && !isGone(this.#process)) await this.kill();
    if (this.#ownsFolder) rmSync(this.folder, { recursive: true, force: true });
    // In dev mode the server itself holds its answers against the lexicons.
    const deviations = new Set(this.output.split("\n").flatMap((line) => DEVIATION.exec(line)?.[0] ?? []));
    if (deviations.size > 0) throw new Error(`Not as the lexicons say:\n${[...deviations].join("\n")}`);
  }

  async #pump(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.output += decoder.decode(chunk, { stream: true });
  }

  #printedPorts(from: number): number[] {
    const known = new Set(Object.values(this.#env).map((value) => /:(\d+)\/?$/.exec(value ?? "")?.[1]));
    const ports = [...this.output.slice(from).matchAll(URL_IN_OUTPUT)].map((match) => match[1] ?? "");
    return [...new Set(ports.filter((port) => !known.has(port)))].map(Number);
  }
}

/** True of a process that was never started, too. */
function isGone(child: Bun.Subprocess | undefined): boolean {
  return !child || child.exitCode !== null || child.signalCode !== null;
}
