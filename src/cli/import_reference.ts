/** `kith import-reference`: takes over all accounts of a stopped reference PDS. */
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { signerFromPrivateKey } from "../atproto/mod.ts";
import { type Config, keepSecrets, parseEnvFile } from "../config/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { createLogger } from "../logger.ts";
import type { BlobSource, Identities, Reference, ReferencePaths, Target } from "../takeover/mod.ts";
import { untilInterrupted } from "./_interruption.ts";
import { createTakeoverDisplay, type TakeoverDisplay } from "./_takeover_display.ts";
import {
  type Arguments,
  type Command,
  type CommandContext,
  ENV_FILE_OPTION,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
  type Io,
} from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { shellWord } from "./welcome.ts";

/** Where the distribution of the reference keeps its settings. */
const ENV_FILE_NAME = "pds.env";

export const importReferenceCommand: Command = {
  name: "import-reference",
  summary: "take over all accounts of a stopped reference PDS, under its host name",
  options: [
    {
      name: "data",
      value: "DIR",
      help: "kith's own data folder, empty or not there yet (PDS_DATA_DIRECTORY)",
    },
    {
      ...ENV_FILE_OPTION,
      help: "the settings of the reference PDS (FOLDER/pds.env); the environment wins over it",
    },
    { name: "env", value: "FILE", help: "the same as --env-file" },
    { name: "dry-run", value: undefined, help: "read everything and tell what would be done; write nothing" },
    {
      name: "leave-out",
      value: "WHO",
      help: 'DIDs or handles not to take over, with commas between; "damaged": all that cannot be',
    },
    { name: "offline", value: undefined, help: "do not ask where the DIDs lead" },
    { name: "json", value: undefined, help: "print the report as one JSON object" },
  ],
  operands: ["FOLDER"],
  run: async (given, context) => {
    const [folder] = given.rest;
    const { io } = context;
    const isPlaced = given.options["dry-run"] === true || dataFolderOf(given, io) !== undefined;
    if (folder === undefined || !isPlaced) {
      const asked =
        folder === undefined
          ? "which folder? Give the data folder of the reference PDS"
          : "where to? Give a folder of kith's own, empty or not there yet, with --data FOLDER";
      io.err(`kith import-reference: ${asked}\n"kith help import-reference" shows how it is used.\n`);
      return EXIT_USAGE;
    }
    return await run(folder, { given, context });
  },
};

/** What was asked for, checked. */
interface Task {
  readonly folder: string;
  readonly envFile: string | undefined;
  /** The settings of the reference, for where its parts lie. */
  readonly settings: Readonly<Record<string, string>>;
  readonly config: Config;
  /** Whether the port follows from a setting. */
  readonly isPortSet: boolean;
  readonly isDry: boolean;
  readonly leaveOut: ReadonlySet<string>;
  readonly isOffline: boolean;
}

async function run(
  folder: string,
  { given, context: { io } }: { given: Arguments; context: CommandContext },
): Promise<number> {
  const display = createTakeoverDisplay(io, { json: given.options.json === true });
  try {
    const task = taskOf(folder, { given, io });
    return task === undefined ? EXIT_CONFIG : await importReference(task, { io, display });
  } catch (error) {
    if (!isKithError(error)) throw error;
    display.say(`kith import-reference: ${error.message}`);
    if (error.hint !== undefined) display.say(error.hint);
    return EXIT_FAILED;
  }
}

/** Undefined after every problem with the settings has been printed. */
function taskOf(named: string, { given, io }: { given: Arguments; io: Io }): Task | undefined {
  const folder = resolve(io.cwd, named);
  const { options } = given;
  const isDry = options["dry-run"] === true;
  const envFile = envFileOf(folder, { options, io });
  const settings = envFile === undefined ? {} : valuesIn(envFile);
  const data = dataFolderOf(given, io);
  const blobs = io.env.PDS_BLOBSTORE_DISK_LOCATION ?? "";
  // What the file of the reference says of folders is about the reference's.
  const env = { ...io.env, PDS_BLOBSTORE_DISK_LOCATION: blobs };
  const settled = {
    ...options,
    ...(data === undefined ? {} : { data }),
    ...(envFile === undefined ? {} : { "env-file": envFile }),
  };
  const loaded = loadOrExplain({ options: settled, io: { ...io, env } });
  if (loaded === undefined) return undefined;
  const names = typeof options["leave-out"] === "string" ? options["leave-out"].split(",") : [];
  const leaveOut = new Set(names.map(nameIn).filter((name) => name !== ""));
  return {
    folder,
    envFile,
    settings,
    config: loaded.config,
    isPortSet: loaded.sources.has("PDS_PORT"),
    isDry,
    leaveOut,
    isOffline: options.offline === true,
  };
}

/** Handles are the same in any case. */
function nameIn(text: string): string {
  const name = text.trim().replace(/^@/, "");
  return name.startsWith("did:") ? name : name.toLowerCase();
}

/** That of kith; not what the file of the reference says, which is the reference's own. */
function dataFolderOf({ options }: Arguments, io: Io): string | undefined {
  return typeof options.data === "string" ? options.data : io.env.PDS_DATA_DIRECTORY || undefined;
}

function envFileOf(
  folder: string,
  { options, io }: { options: Arguments["options"]; io: Io },
): string | undefined {
  const named = options["env-file"] ?? options.env;
  if (typeof named === "string") return resolve(io.cwd, named);
  const usual = join(folder, ENV_FILE_NAME);
  return existsSync(usual) ? usual : undefined;
}

/** Nothing where it cannot be read: loading the settings says why. */
function valuesIn(envFile: string): Record<string, string> {
  try {
    const { entries } = parseEnvFile(readFileSync(envFile, "utf8"));
    return Object.fromEntries(entries.map(({ name, value }) => [name, value]));
  } catch {
    return {};
  }
}

async function importReference(
  task: Task,
  { io, display }: { io: Io; display: TakeoverDisplay },
): Promise<number> {
  const startedMs = performance.now();
  const { folderCheck } = await import("../folder_check.ts");
  const { checkBlobTarget, checkTarget, locateReference, planTakeover, Reference, Target, takeOver } =
    await import("../takeover/mod.ts");
  const { config, isDry } = task;
  const now = Date.now;
  const paths = locateReference(task.folder, task.settings);
  if (!isDry) checkTarget(config.dataFolder, paths.folder);
  if (isOwnBlobFolder(config)) checkBlobTarget(config.blobFolder, paths);
  await using reference = await Reference.open(paths);
  const rotationKey = rotationKeyOf(config, { isDry, display });
  display.say(
    `${task.folder}: ${reference.accounts.accounts().length} accounts${task.isOffline ? "" : "; looking up where their DIDs lead"}`,
  );
  const identities = task.isOffline ? undefined : await identitiesOf(config);
  const plan = await planTakeover({
    reference,
    identities,
    publicUrl: config.publicUrl,
    rotationKey,
    now: now(),
  });
  if (isDry) {
    const report = await takeOver({
      ...partsOf(task, { reference, now, display, folderCheck }),
      plan,
      blobs: await blobsOf(task, paths),
    });
    display.report(report, { isDry, seconds: (performance.now() - startedMs) / 1000 });
    return report.refused.length === 0 && rotationKey !== undefined ? EXIT_OK : EXIT_FAILED;
  }
  const log = createLogger({ level: "warn", format: "text", write: io.err, stacks: false });
  if (config.blobBucket) log.hide(config.blobBucket.secretAccessKey);
  const { dataFolder: folder, blobFolder, blobBucket } = config;
  const blobs = await blobsOf(task, paths);
  using _ = untilInterrupted({ name: "import-reference", io, left: halfMade(task) });
  const report = await fill(await Target.open({ folder, blobFolder, blobBucket, log }), async (target) => {
    await keepSecrets(config);
    return await takeOver({
      ...partsOf(task, { reference, now, display, folderCheck }),
      plan,
      blobs,
      target,
    });
  });
  display.report(report, { isDry, seconds: (performance.now() - startedMs) / 1000 });
  const isSound = report.check === undefined || report.check.harms === 0;
  if (!isSound) display.say(mendFirst(task));
  display.say(nextSteps(task));
  return isSound ? EXIT_OK : EXIT_FAILED;
}

/** Closes the target, whatever has come of it; it is whole where `work` has come to its end. */
async function fill<T>(target: Target, work: (target: Target) => Promise<T>): Promise<T> {
  await using opened = target;
  const result = await work(opened);
  await opened.finish();
  return result;
}

function partsOf(
  { config, leaveOut }: Task,
  {
    reference,
    now,
    display,
    folderCheck,
  }: {
    reference: Reference;
    now: () => number;
    display: TakeoverDisplay;
    folderCheck: typeof import("../folder_check.ts")["folderCheck"];
  },
) {
  const { backfillMs, blobTempLifetimeMs: uploadLifetimeMs, blobBucket, blobFolder } = config;
  const keepsSessions = config.secrets.jwtSecret !== undefined;
  return {
    reference,
    leaveOut,
    keepsSessions,
    backfillMs,
    uploadLifetimeMs,
    now,
    progress: display.progress,
    // Of a bucket that is gone on with each blob was read just now.
    check: folderCheck({
      blobFolder: blobBucket ? undefined : () => blobFolder,
      readsBlobs: blobBucket === undefined,
    }),
  };
}

/** The did:key. Without the key the accounts could never change their handles here, or leave. */
function rotationKeyOf(
  { secrets: { plcRotationKeyHex: hex, jwtSecret } }: Config,
  { isDry, display }: { isDry: boolean; display: TakeoverDisplay },
): string | undefined {
  if (jwtSecret === undefined) {
    display.say("note: PDS_JWT_SECRET is not set: everybody will have to sign in anew");
  }
  if (hex !== undefined) return signerFromPrivateKey("k256", Buffer.from(hex, "hex")).didKey;
  const message =
    "PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX is not set: kith needs that of the reference PDS";
  const hint = "Give its environment file: --env-file pds.env.";
  if (!isDry) throw new KithError("config_invalid", `Could not take the accounts over: ${message}`, { hint });
  display.say(`PROBLEM  ${message}. ${hint}`);
  return undefined;
}

async function identitiesOf(config: Config): Promise<Identities> {
  const { createIdentities } = await import("../takeover/mod.ts");
  const { createDidResolver, createPlcClient } = await import("../identity/mod.ts");
  const { safeFetchOf } = await import("../engine.ts");
  const plc = createPlcClient({ url: config.plcUrl });
  const documents = createDidResolver({
    plc,
    safeFetch: safeFetchOf(config),
    timeoutMs: config.resolverTimeoutMs,
    staleMs: config.didCacheStaleMs,
    maxMs: config.didCacheMaxMs,
    devMode: config.mode === "dev",
  });
  return createIdentities({ plc, documents, allowHttp: config.mode === "dev" });
}

/** Throws KithError config_invalid where the reference has another bucket than kith is to have. */
async function blobsOf({ config, settings }: Task, { blobs }: ReferencePaths): Promise<BlobSource> {
  const { bucketSource, folderSource } = await import("../takeover/mod.ts");
  if (blobs) return folderSource(blobs);
  const { blobBucket } = config;
  const names = [settings.PDS_BLOBSTORE_S3_BUCKET, settings.PDS_BLOBSTORE_S3_ENDPOINT?.replace(/\/$/, "")];
  if (!blobBucket || blobBucket.bucket !== names[0] || (blobBucket.endpoint ?? "") !== (names[1] ?? "")) {
    throw new KithError(
      "config_invalid",
      `Could not take the blobs over: they are in the bucket "${names[0]}", and kith is set to keep them elsewhere`,
      {
        hint: "kith goes on with the bucket of the reference PDS: keep its PDS_BLOBSTORE_S3_ settings as they are.",
      },
    );
  }
  const { S3BlobStore } = await import("../storage/mod.ts");
  const { tmpdir } = await import("node:os");
  const logger = createLogger({ enabled: false });
  return bucketSource(new S3BlobStore({ ...blobBucket, tmpFolder: tmpdir(), logger }));
}

/** True where the environment names a folder for blobs, apart from the data folder. */
function isOwnBlobFolder({ blobBucket, blobFolder, dataFolder }: Config): boolean {
  return !blobBucket && blobFolder !== join(dataFolder, "blobs");
}

/** What a command says before it, so that the folder which the file of the reference names does not count. */
function blobSetting(config: Config): string {
  if (config.blobBucket) return "";
  return `PDS_BLOBSTORE_DISK_LOCATION=${isOwnBlobFolder(config) ? shellWord(config.blobFolder) : ""} `;
}

function halfMade({ config, folder }: Task): string {
  return `"${config.dataFolder}" is half-made, and no server starts on it: run the same command again, and it begins anew. "${folder}" is as it was.`;
}

/** What was found can all be mended, and no server is to serve it before. */
function mendFirst({ envFile, config }: Task): string {
  const file = envFile === undefined ? "" : ` --env-file ${shellWord(envFile)}`;
  return `\nFaults were found in what was taken over (see above). Before anything else, mend them:\n  ${blobSetting(config)}kith verify --repair${file} --data ${shellWord(config.dataFolder)}`;
}

function nextSteps({ envFile, config, folder, isPortSet }: Task): string {
  const file = envFile === undefined ? "" : ` --env-file ${shellWord(envFile)}`;
  return [
    "",
    "Now start kith where the reference PDS was, with its settings, and never start that one again:",
    `  ${blobSetting(config)}kith serve${file} --data ${shellWord(config.dataFolder)}`,
    "In a settings file of your own PDS_DATA_DIRECTORY is the new folder, and PDS_BLOBSTORE_DISK_LOCATION, which named a folder of the",
    `reference PDS, is ${isOwnBlobFolder(config) ? "as above" : "left out"}. Passwords, app passwords, sessions and invite codes go on as they are; apps that were let in by OAuth are`,
    `let in anew. "${folder}" is as it was: keep it until you are content.`,
    ...(isPortSet
      ? []
      : [
          `It listens on port ${config.port}; the container of the reference PDS has 3000: then add --port 3000.`,
        ]),
  ].join("\n");
}
