import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { KithError } from "../errors.ts";
import * as as from "./_schemas.ts";
import type { Config, Secrets } from "./config.ts";

export const SECRETS_FILE = "secrets.json";

/** Names in the file are those of the environment, so that a value can be moved from one to the other. */
const NAMES = {
  jwtSecret: "PDS_JWT_SECRET",
  adminPassword: "PDS_ADMIN_PASSWORD",
  plcRotationKeyHex: "PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX",
} as const satisfies Record<keyof Secrets, string>;

const fileSchema = z.object({
  [NAMES.jwtSecret]: z.string().min(1).optional(),
  [NAMES.adminPassword]: z.string().min(1).optional(),
  [NAMES.plcRotationKeyHex]: as.k256PrivateKeyHex.optional(),
});

export interface MadeSecrets {
  readonly secrets: Secrets;
  /** The settings whose values were made by this call. */
  readonly made: readonly string[];
  /** Path of the file that keeps them. */
  readonly path: string;
}

/**
 * Completes the secrets that were given with those that are kept in the data folder, and makes what is still missing. What was
 * given wins, and is not stored. Call it when the data folder is locked. Throws `config_invalid` on a file that cannot be used, and where there
 * are accounts and their rotation key is lost: one that is made would rule none of them.
 */
export async function ensureSecrets(
  config: Pick<Config, "dataFolder" | "secrets">,
  { hasAccounts = false }: { hasAccounts?: boolean } = {},
): Promise<MadeSecrets> {
  const path = join(config.dataFolder, SECRETS_FILE);
  const kept = await readSecrets(path);
  const given = config.secrets;
  const made: string[] = [];
  if (hasAccounts && (given.plcRotationKeyHex ?? kept[NAMES.plcRotationKeyHex]) === undefined)
    throw keyLost(path);
  const pick = (key: keyof Secrets, make: () => string): string => {
    const value = given[key] ?? kept[NAMES[key]];
    if (value !== undefined) return value;
    made.push(NAMES[key]);
    return make();
  };
  const secrets: Secrets = {
    jwtSecret: pick("jwtSecret", () => randomBytes(32).toString("hex")),
    adminPassword: pick("adminPassword", () => randomBytes(18).toString("base64url")),
    plcRotationKeyHex: pick("plcRotationKeyHex", makeK256Key),
  };
  if (made.length > 0) {
    const fresh = Object.entries(NAMES).filter(([, name]) => made.includes(name));
    const added = Object.fromEntries(fresh.map(([key, name]) => [name, secrets[key as keyof Secrets]]));
    await writeSecrets(path, { folder: config.dataFolder, content: { ...kept, ...added } });
  }
  return { secrets, made, path };
}

/**
 * Keeps the secrets that were given in the data folder, where nothing is kept yet: of a server that another one is taken over into, and that
 * must go on with them whatever its settings are later. Throws `config_invalid`.
 */
export async function keepSecrets({
  dataFolder,
  secrets,
}: Pick<Config, "dataFolder" | "secrets">): Promise<void> {
  const named = Object.entries(NAMES).map(([key, name]) => [name, secrets[key as keyof Secrets]] as const);
  const content = Object.fromEntries(named.filter(([, value]) => value !== undefined));
  await writeSecrets(join(dataFolder, SECRETS_FILE), { folder: dataFolder, content });
}

/** What a check says of the secrets. lost: no server starts. anew: the next start makes others. */
export interface SecretsProblem {
  readonly kind: "lost" | "anew" | "damaged";
  readonly detail: string;
}

/** How the secrets are of a server that has accounts. Changes nothing, and opens no pipe. */
export async function checkSecrets({
  dataFolder,
  secrets: given,
}: Pick<Config, "dataFolder" | "secrets">): Promise<SecretsProblem | undefined> {
  const path = join(dataFolder, SECRETS_FILE);
  const found = await stat(path).catch(() => undefined);
  if (found && !found.isFile()) return { kind: "damaged", detail: "it is no regular file" };
  let kept: z.infer<typeof fileSchema>;
  try {
    kept = await parseSecrets(path);
  } catch (error) {
    return { kind: "damaged", detail: (error as Error).message };
  }
  const missing = Object.entries(NAMES).flatMap(([key, name]) =>
    given[key as keyof Secrets] === undefined && kept[name] === undefined ? name : [],
  );
  const what = `neither here nor in the settings: ${missing.join(", ")}`;
  if (missing.includes(NAMES.plcRotationKeyHex)) return { kind: "lost", detail: what };
  if (missing.length > 0) return { kind: "anew", detail: what };
  return undefined;
}

async function readSecrets(path: string): Promise<z.infer<typeof fileSchema>> {
  const kept = await parseSecrets(path);
  await chmod(path, 0o600).catch((error: unknown) => {
    if ((error as { code?: string }).code !== "ENOENT")
      throw unusable(path, { problem: "its mode cannot be set", cause: error });
  });
  return kept;
}

async function parseSecrets(path: string): Promise<z.infer<typeof fileSchema>> {
  let content: string;
  try {
    content = await readFile(path, "utf8");
  } catch (error) {
    if ((error as { code?: string }).code === "ENOENT") return {};
    throw unusable(path, { problem: "it cannot be read", cause: error });
  }
  const parsed = fileSchema.safeParse(parseJson(content));
  if (parsed.success) return parsed.data;
  throw unusable(path, { problem: "it is not JSON with the secrets that kith wrote", cause: undefined });
}

/** The content is not shown in any error, for it is secret. */
function parseJson(content: string): unknown {
  try {
    return JSON.parse(content);
  } catch {
    return undefined;
  }
}

async function writeSecrets(
  path: string,
  { folder, content }: { folder: string; content: object },
): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await rm(temporary, { force: true });
    const file = await open(temporary, "wx", 0o600);
    try {
      await file.writeFile(`${JSON.stringify(content, null, 2)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const directory = await open(folder, "r");
    await directory.sync().finally(() => directory.close());
  } catch (cause) {
    throw unusable(path, { problem: "it cannot be written", cause });
  }
}

function unusable(path: string, { problem, cause }: { problem: string; cause: unknown }): KithError {
  return new KithError("config_invalid", `Could not use the secrets file "${path}": ${problem}`, {
    hint: "Check the folder's owner and rights, or put the file back from a copy. Do not delete it: the PLC rotation key in it controls the accounts.",
    cause,
  });
}

function keyLost(path: string): KithError {
  return new KithError(
    "config_invalid",
    `Could not find the PLC rotation key of the accounts: it is not in "${path}", and ${NAMES.plcRotationKeyHex} is not set`,
    {
      hint: `Put secrets.json back from a copy or a backup, or set ${NAMES.plcRotationKeyHex} to the key that this server had: with another one no account can change its handle, or leave. If it is lost for good, set it to a new one.`,
    },
  );
}

function makeK256Key(): string {
  for (;;) {
    const parsed = as.k256PrivateKeyHex.safeParse(randomBytes(32).toString("hex"));
    if (parsed.success) return parsed.data;
  }
}
