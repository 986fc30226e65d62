/**
 * Fills a data folder through the stores, as fast as the disk takes it: accounts whose DIDs no directory knows, and
 * records. Run by rows/growth.ts; kith is started on the folder afterwards.
 */
import { randomBytes } from "node:crypto";
import { cidOfCbor, encodeCbor, generatePrivateKey, nextTid } from "../src/atproto/mod.ts";
import { SessionTokens } from "../src/auth/mod.ts";
import { ensureSecrets, loadConfig } from "../src/config/mod.ts";
import { openStores, startActors } from "../src/engine.ts";
import { createLogger } from "../src/logger.ts";
import { openServerFiles } from "../src/server_files.ts";
import { DataFolder } from "../src/storage/mod.ts";
import { type BenchAccount, COLLECTION, postOf, WRITES_PER_COMMIT } from "./calls.ts";
import { answerAsChild, childInput } from "./child.ts";
import { HANDLE_DOMAIN, JWT_SECRET, type KeyType, kithSettings, SERVICE_DID } from "./peers.ts";

export interface SeedInput {
  readonly folder: string;
  readonly plcUrl: string;
  readonly keyType: KeyType;
  readonly accounts: number;
  /** In the repo of the first account; each of the others has one. */
  readonly records: number;
}

export interface SeedAnswer {
  /** With one record of each: of the first account several. */
  readonly accounts: readonly (BenchAccount & { readonly rkeys: readonly string[] })[];
}

const LANES = 16;
const RKEYS_SHOWN_MAX = 5_000;
const SESSION_MS = 90 * 24 * 3_600_000;
const CLOCK_ID = 1;
const DID_CHARS = "abcdefghijklmnopqrstuvwxyz234567";

type Parts = {
  stores: Awaited<ReturnType<typeof openStores>>;
  actors: Awaited<ReturnType<typeof startActors>>;
};

function didOf(at: number): string {
  let name = "";
  for (let rest = at; name.length < 24; rest = Math.floor(rest / 32)) name = DID_CHARS[rest % 32] + name;
  return `did:plc:${name}`;
}

async function makeAccount(
  { stores, actors }: Parts,
  did: string,
  { at, keyType }: { at: number; keyType: KeyType },
) {
  await stores.accounts.beginAccount({
    did,
    handle: `seed${at}${HANDLE_DOMAIN}`,
    email: `seed${at}@example.com`,
    passwordHash: "nobody signs in",
    signingKey: { type: keyType, privateKey: generatePrivateKey(keyType, randomBytes(32)) },
    genesisOperation: new Uint8Array(),
    now: Date.now(),
  });
  await actors.registry.createRepo(did);
  await stores.accounts.finishCreation(did, "active");
}

/** Returns the rkeys. */
async function writeRecords({ actors }: Parts, did: string, records: number): Promise<string[]> {
  const rkeys: string[] = [];
  let rkey: string | null = null;
  for (let done = 0; done < records; done += WRITES_PER_COMMIT) {
    const writes = Array.from({ length: Math.min(WRITES_PER_COMMIT, records - done) }, (_, at) => {
      rkey = nextTid(rkey, Date.now() * 1000, CLOCK_ID);
      rkeys.push(rkey);
      const bytes = encodeCbor(postOf(String(done + at)));
      const record = { cid: cidOfCbor(bytes), bytes };
      return { action: "create" as const, collection: COLLECTION, rkey, record, blobs: [] };
    });
    await actors.registry.write(did, { writes });
  }
  return rkeys;
}

async function seed(input: SeedInput): Promise<SeedAnswer> {
  const { config } = loadConfig({ env: kithSettings(2583, input.folder, input.plcUrl) });
  const closing: (() => unknown)[] = [];
  const context = {
    config,
    log: createLogger({ enabled: false }),
    onFatal: (error: unknown): never => {
      throw error;
    },
    onClose: (close: () => unknown) => void closing.unshift(close),
  };
  const folder = DataFolder.open(config.dataFolder);
  closing.push(() => folder.close());
  // A folder with accounts and without a rotation key is refused.
  await ensureSecrets(config);
  const files = await openServerFiles(context, { folder });
  const stores = await openStores(context, { config, folder, files });
  const parts = { stores, actors: await startActors(context, { config, stores }) };
  const tokens = new SessionTokens({ secret: JWT_SECRET, serviceDid: SERVICE_DID });
  const made: SeedAnswer["accounts"][number][] = [];
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < input.accounts) {
      const at = next++;
      const did = didOf(at);
      await makeAccount(parts, did, { at, keyType: input.keyType });
      const rkeys = await writeRecords(parts, did, at === 0 ? input.records : 1);
      const issuedAt = Date.now();
      const { accessJwt } = await tokens.issue({
        did,
        scope: "com.atproto.access",
        refreshId: String(at),
        refreshIssuedAt: issuedAt,
        refreshExpiresAt: issuedAt + SESSION_MS,
      });
      made[at] = { did, token: accessJwt, rkeys: spread(rkeys) };
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  for (const close of closing) await close();
  return { accounts: made };
}

/** At most so many, from all over the list. */
function spread(rkeys: readonly string[]): string[] {
  const step = Math.max(1, Math.ceil(rkeys.length / RKEYS_SHOWN_MAX));
  return rkeys.filter((_rkey, at) => at % step === 0);
}

answerAsChild(await seed(childInput<SeedInput>()));
process.exit(0);
