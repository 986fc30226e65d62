/** DIDs that the DNS names in text records (`did=...`), as handles and the authorities of lexicons have them. */
import { lookup, Resolver } from "node:dns/promises";
import { isDid } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { isIP } from "../ip.ts";

export interface TxtOptions {
  /** For each question. */
  readonly timeoutMs: number;
  /** Name servers asked after the system's: IP addresses or host names, each with an optional port. */
  readonly backupNameservers?: readonly string[];
  /** Text records of a name; rejects as node:dns does (ENOTFOUND, ENODATA). */
  readonly resolveTxt?: (name: string) => Promise<readonly (readonly string[])[]>;
}

interface Question extends TxtOptions {
  /** What the name is asked for, for messages. */
  readonly subject: string;
}

const RECORDS_MAX = 100;
/** "There is no such record", in the codes of node:dns. */
const ABSENT = new Set(["ENOTFOUND", "ENODATA", "NOTFOUND", "NODATA"]);

/**
 * The DID that a name's text records name, or undefined where there is none. Throws KithError upstream_failure where they name
 * several, and what node:dns throws where no name server answered.
 */
export async function didByTxt(name: string, question: Question): Promise<string | undefined> {
  const { timeoutMs, backupNameservers = [], subject } = question;
  const ask = question.resolveTxt ?? txtResolver(timeoutMs);
  let failed: unknown;
  try {
    const did = didOf(subject, await inTime(ask(name), timeoutMs));
    if (did !== undefined) return did;
  } catch (error) {
    if (error instanceof KithError) throw error;
    if (!isAbsent(error)) failed = error;
  }
  if (backupNameservers.length > 0) return await askBackups(name, question);
  if (failed !== undefined) throw failed;
  return undefined;
}

function txtResolver(timeoutMs: number): (name: string) => Promise<string[][]> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  return (name) => resolver.resolveTxt(name);
}

async function askBackups(
  name: string,
  { timeoutMs, backupNameservers = [], subject }: Question,
): Promise<string | undefined> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  const addresses = await Promise.all(
    backupNameservers.map((server) => inTime(serverAddress(server), timeoutMs)),
  );
  resolver.setServers(addresses);
  try {
    return didOf(subject, await inTime(resolver.resolveTxt(name), timeoutMs));
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** An IP address, with its port kept, in the form that setServers takes. */
async function serverAddress(server: string): Promise<string> {
  if (isIP(server) !== 0 || server.startsWith("[")) return server;
  const [host = "", port] = server.split(":");
  const address = isIP(host) !== 0 ? host : (await lookup(host)).address;
  if (port === undefined) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

function didOf(subject: string, records: readonly (readonly string[])[]): string | undefined {
  const dids = new Set(
    records
      .slice(0, RECORDS_MAX)
      .map((parts) => parts.join(""))
      .filter((text) => text.startsWith("did="))
      .map((text) => text.slice("did=".length).trim()),
  );
  if (dids.size > 1)
    throw new KithError(
      "upstream_failure",
      `Could not resolve "${subject}": the DNS names several DIDs for it`,
    );
  const [did] = dids;
  return isDid(did) ? did : undefined;
}

function isAbsent(error: unknown): boolean {
  return ABSENT.has((error as { code?: string }).code ?? "");
}

/** Some resolvers ignore the time they are given. */
async function inTime<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
