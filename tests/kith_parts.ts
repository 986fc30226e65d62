/** The server in this process, with its parts at hand and without a socket: what is mounted, and what stands behind it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBackups } from "../src/backup_features.ts";
import { type Config, ensureSecrets, loadConfig } from "../src/config/mod.ts";
import { edgeOf } from "../src/edge.ts";
import { type Actors, openStores, type Stores, startActors } from "../src/engine.ts";
import { directoryOf, type Features, startFeatures } from "../src/features.ts";
import { createLogger } from "../src/logger.ts";
import { RequestGate } from "../src/request_gate.ts";
import { openServerFiles } from "../src/server_files.ts";
import { DataFolder } from "../src/storage/mod.ts";
import { startWatch } from "../src/watch_features.ts";
import { createHttp } from "../src/xrpc/mod.ts";
import { ADMIN_PASSWORD, serverEnv } from "./harness.ts";

const SETTINGS = {
  // Nobody listens there: whatever asks for it over the network fails.
  PDS_PORT: "2",
  PDS_DEV_MODE: "true",
  PDS_ADMIN_PASSWORD: ADMIN_PASSWORD,
  KITH_LEXICON_RESOLUTION: "false",
};
const NO_SERVER = { requestIP: () => null, upgrade: () => false };

export class KithParts implements AsyncDisposable {
  readonly config: Config;
  readonly stores: Stores;
  readonly actors: Actors;
  readonly features: Features;
  readonly #http: ReturnType<typeof createHttp>;
  readonly #close: () => Promise<void>;

  private constructor(
    parts: Pick<KithParts, "config" | "stores" | "actors" | "features">,
    http: ReturnType<typeof createHttp>,
    close: () => Promise<void>,
  ) {
    this.config = parts.config;
    this.stores = parts.stores;
    this.actors = parts.actors;
    this.features = parts.features;
    this.#http = http;
    this.#close = close;
  }

  static async open(env: Readonly<Record<string, string>>, folder?: string): Promise<KithParts> {
    const path = folder ?? mkdtempSync(join(tmpdir(), "kith-parts-"));
    const closing: (() => unknown)[] = [];
    const onClose = (close: () => unknown): void => void closing.unshift(close);
    const close = async () => {
      for (const end of closing) await end();
      if (folder === undefined) rmSync(path, { recursive: true, force: true });
    };
    const settings = { ...SETTINGS, PDS_DATA_DIRECTORY: path, ...env };
    const { config } = loadConfig({ env: serverEnv(settings), cwd: path });
    const log = createLogger({ enabled: false });
    const onFatal = (error: unknown): never => {
      throw error;
    };
    const context = { config, log, onFatal, onClose };
    try {
      const dataFolder = DataFolder.open(config.dataFolder);
      onClose(() => dataFolder.close());
      const { secrets } = await ensureSecrets(config);
      const files = await openServerFiles(context, { folder: dataFolder });
      const stores = await openStores(context, { config, folder: dataFolder, files });
      let afterActors: () => unknown = () => undefined;
      onClose(() => afterActors());
      const actors = await startActors(context, { config, stores });
      const plc = directoryOf(context, { config, folder: dataFolder });
      const features = await startFeatures(context, { config, secrets, stores, actors, plc });
      const { backups, drills } = startBackups(context, {
        ...{ config, stores, actors },
        onStopped: (end) => {
          afterActors = end;
        },
      });
      const gate = new RequestGate();
      const watch = startWatch(context, { config, stores, actors, features, files, backups, gate });
      const parts = { config, log, stores, actors, features, gate, secrets, backups, drills, watch };
      const edge = edgeOf(parts);
      return new KithParts({ config, stores, actors, features }, createHttp(edge), close);
    } catch (error) {
      await close();
      throw error;
    }
  }

  /** As if it had come through a socket. */
  readonly handler = (request: Request): Promise<Response | undefined> =>
    this.#http.fetch(request, NO_SERVER);

  /** One call: POST where there is an input. */
  async call(
    nsid: string,
    { params = {}, input, token }: { params?: Record<string, string>; input?: unknown; token?: string } = {},
  ): Promise<{ status: number; json: Record<string, unknown> }> {
    const query = new URLSearchParams(params).toString();
    const request = new Request(`${this.config.publicUrl}/xrpc/${nsid}${query && `?${query}`}`, {
      method: input === undefined ? "GET" : "POST",
      headers: {
        ...(token === undefined ? {} : { authorization: token.includes(" ") ? token : `Bearer ${token}` }),
        ...(input === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(input === undefined ? {} : { body: JSON.stringify(input) }),
    });
    const response = await this.handler(request);
    const text = (await response?.text()) ?? "";
    return { status: response?.status ?? 0, json: text.startsWith("{") ? JSON.parse(text) : {} };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}
