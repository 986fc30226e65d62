/** For tests of `kith import-reference`: a reference PDS with accounts of every kind, its settings as its operator has them, and the command. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type Account, type Call, createRecord, post, xrpc } from "./client.ts";
import { kithCommand } from "./harness.ts";
import { REFERENCE_ADMIN_PASSWORD, type ReferencePds } from "./reference.ts";

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs `kith import-reference` to its end, with no settings but those given. */
export async function importReference(
  args: readonly string[],
  { env = {}, cwd }: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
): Promise<Ran> {
  const child = startImport(args, { env, ...(cwd === undefined ? {} : { cwd }) });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  await child.exited;
  return { code: child.exitCode, out, err };
}

export function startImport(
  args: readonly string[],
  { env = {}, cwd }: { env?: Readonly<Record<string, string>>; cwd?: string } = {},
): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  const inherited = Object.entries(process.env).filter(([name]) => !/^(PDS|KITH|LOG)_/.test(name));
  return Bun.spawn(kithCommand("import-reference", ...args), {
    cwd,
    env: { ...Object.fromEntries(inherited), ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** Writes the environment file of a reference as in its distribution, where the data folder is one in a container. */
export function writeEnvFile(
  reference: Pick<ReferencePds, "env" | "folder">,
  without: readonly string[] = [],
): string {
  const path = join(reference.folder, "pds.env");
  const lines = Object.entries(reference.env)
    .filter(([name, value]) => value !== undefined && name.startsWith("PDS_") && !without.includes(name))
    .map(([name, value]) => `${name}=${(value ?? "").replaceAll(reference.folder, "/pds")}\n`);
  writeFileSync(path, lines.join(""));
  return path;
}

/** Every file below a folder with its bytes' hash, its mode and its time. */
export function fingerprint(folder: string): Record<string, string> {
  const found: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const { mode, mtimeMs } = statSync(path);
    const hash = entry.isFile() ? createHash("sha256").update(readFileSync(path)).digest("hex") : "folder";
    found[relative(folder, path)] = `${hash} ${mode.toString(8)} ${mtimeMs}`;
  }
  return found;
}

/** Calls a method as the admin of the reference, and throws where it does not answer 200. */
export async function asAdmin(url: string, nsid: string, body: unknown): Promise<Record<string, unknown>> {
  const basic = Buffer.from(`admin:${REFERENCE_ADMIN_PASSWORD}`).toString("base64");
  const { status, json } = await xrpc(url, nsid, { body, headers: { authorization: `Basic ${basic}` } });
  if (status !== 200) throw new Error(`${nsid} answers ${status} ${JSON.stringify(json)}`);
  return json;
}

/** Calls a method as an account, and throws where it does not answer 200. */
export async function asOwner(
  url: string,
  { accessJwt: token }: Pick<Account, "accessJwt">,
  { to, ...call }: { to: string } & Pick<Call, "method" | "body" | "params">,
): Promise<Record<string, unknown>> {
  const { status, json } = await xrpc(url, to, { token, ...call });
  if (status !== 200) throw new Error(`${to} answers ${status} ${JSON.stringify(json)}`);
  return json;
}

export interface UploadedBlob {
  readonly ref: { readonly $link: string };
}

export async function upload(
  url: string,
  account: Pick<Account, "accessJwt">,
  bytes: Uint8Array,
): Promise<UploadedBlob> {
  const { status, json } = await xrpc(url, "com.atproto.repo.uploadBlob", {
    token: account.accessJwt,
    body: bytes,
    headers: { "content-type": "image/png" },
  });
  if (status !== 200) throw new Error(`uploadBlob answers ${status} ${JSON.stringify(json)}`);
  return json.blob as UploadedBlob;
}

/** A post with a picture of its own; its rkey, CID and the picture's CID. */
export async function postPicture(
  url: string,
  account: Pick<Account, "did" | "accessJwt">,
  bytes: Uint8Array,
): Promise<{ rkey: string; uri: string; cid: string; blob: string }> {
  const blob = await upload(url, account, bytes);
  const embed = { $type: "app.bsky.embed.images", images: [{ image: blob, alt: "" }] };
  const { uri, cid } = await createRecord(url, account, { record: post("a picture", { embed }) });
  return { uri, cid, rkey: uri.split("/").at(-1) ?? "", blob: blob.ref.$link };
}
