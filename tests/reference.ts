/** The reference PDS as a peer: `@atproto/pds` from npm, a process of its own under its own Node, in a fresh folder. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isReferenceInstalled, referenceCommand } from "../tools/reference.ts";
import type { PlcDirectory } from "./plc_directory.ts";
import { takePort } from "./ports.ts";
import { waitFor, within } from "./wait.ts";

const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 60_000;

export const REFERENCE_ADMIN_PASSWORD = "admin-password-of-the-reference";
export const REFERENCE_ROTATION_KEY = "7a".repeat(32);

export interface ReferenceOptions {
  readonly plc: Pick<PlcDirectory, "url">;
  /** Its own settings over those below; undefined takes one away. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A data folder to use again; otherwise a fresh one, removed at the end. */
  readonly folder?: string;
}

export class ReferencePds implements AsyncDisposable {
  readonly url: string;
  readonly folder: string;
  readonly #ownsFolder: boolean;
  /** The settings that it was started with. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly #process: Bun.Subprocess<"ignore", "pipe", "pipe">;
  /** Everything that it has printed. */
  output = "";

  private constructor(port: number, options: ReferenceOptions) {
    this.url = `http://localhost:${port}`;
    this.#ownsFolder = options.folder === undefined;
    this.folder = options.folder ?? mkdtempSync(join(tmpdir(), "kith-reference-"));
    const env = { ...settings(port, this.folder), PDS_DID_PLC_URL: options.plc.url, ...options.env };
    this.env = env;
    this.#process = Bun.spawn(referenceCommand("serve.mjs"), {
      cwd: this.folder,
      env: { PATH: process.env.PATH, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    void this.#pump(this.#process.stdout);
    void this.#pump(this.#process.stderr);
  }

  /** Starts it and waits until it answers: without invites, rate limits, AppView and mail, unless the settings say so. */
  static async start(options: ReferenceOptions): Promise<ReferencePds> {
    if (!isReferenceInstalled()) throw new Error('Install the reference PDS first: "bun tools/reference.ts"');
    const reference = new ReferencePds(Number(options.env?.PDS_PORT) || takePort(), options);
    try {
      await waitFor("the reference PDS to answer", () => reference.#isUp(), START_LIMIT_MS);
      return reference;
    } catch (error) {
      const { output } = reference;
      await reference[Symbol.asyncDispose]();
      throw new Error(`The reference PDS did not start:\n${output}`, { cause: error });
    }
  }

  get pid(): number {
    return this.#process.pid;
  }

  /** Asks it to end, and waits until it has. */
  async stop(): Promise<void> {
    this.#process.kill("SIGTERM");
    await within("the reference PDS to end", this.#process.exited, STOP_LIMIT_MS);
  }

  /** As `kill -9` does. */
  async kill(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#process.exited;
    if (this.#ownsFolder) rmSync(this.folder, { recursive: true, force: true });
  }

  async #isUp(): Promise<boolean> {
    if (this.#process.exitCode !== null) return false;
    return (await fetch(`${this.url}/xrpc/_health`)).ok;
  }

  async #pump(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.output += decoder.decode(chunk, { stream: true });
  }
}

/** Of a peer on loopback. The key is a test's own: it signs in a directory that forgets everything. */
function settings(port: number, folder: string): Record<string, string> {
  return {
    NODE_ENV: "production",
    LOG_ENABLED: "false",
    PDS_HOSTNAME: "localhost",
    PDS_PORT: String(port),
    PDS_SERVICE_DID: `did:web:localhost%3A${port}`,
    PDS_DEV_MODE: "true",
    PDS_DATA_DIRECTORY: folder,
    PDS_BLOBSTORE_DISK_LOCATION: join(folder, "blobs"),
    PDS_BLOB_UPLOAD_LIMIT: String(100 * 1024 * 1024),
    PDS_SERVICE_HANDLE_DOMAINS: ".test",
    PDS_INVITE_REQUIRED: "false",
    PDS_DISABLE_SSRF_PROTECTION: "true",
    PDS_ADMIN_PASSWORD: REFERENCE_ADMIN_PASSWORD,
    PDS_JWT_SECRET: "jwt-secret-of-the-reference-0123456789",
    PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: REFERENCE_ROTATION_KEY,
  };
}
