/**
 * Whether two answers to the same request are alike. What must differ between two servers (DIDs, what depends on them or on the
 * time, tokens) is paired: one of the reference's stands for the same one of kith's throughout the run.
 */
import { cborToLexRecord, readCar } from "@atproto/repo";
import type { Answer } from "../client.ts";

/** What differs from server to server, and how it is told in running text. Order matters: the longest first. */
const VOLATILE: readonly (readonly [kind: string, pattern: string, isPaired: boolean])[] = [
  ["jwt", String.raw`eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+`, false],
  ["key", String.raw`did:key:z\w+`, true],
  ["did", String.raw`did:(?:plc:[a-z2-7]{24}|web:localhost%3A\d+)`, true],
  ["cid", "baf[ky]rei[a-z2-7]{52}", true],
  // Before what a signature can begin with by chance.
  ["signature", String.raw`(?<![\w-])[\w-]{86}(?![\w-])`, true],
  ["multikey", String.raw`\bz[1-9A-HJ-NP-Za-km-z]{45,}`, true],
  ["date", String.raw`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z`, false],
  ["url", String.raw`https?(?:://|%3A%2F%2F)localhost(?::|%3A)\d+`, true],
  ["invite", String.raw`\blocalhost-[a-z2-7]{5}-[a-z2-7]{5}\b`, true],
  ["app-password", String.raw`\b[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}\b`, true],
  ["tid", String.raw`\b[2-7a-j][2-7a-z]{12}\b`, true],
  ["jti", String.raw`\b[0-9a-f]{32}\b`, false],
];
const ANY_VOLATILE = new RegExp(
  VOLATILE.map(([kind, pattern]) => `(?<${kind.replace("-", "_")}>${pattern})`).join("|"),
  "g",
);

/** Headers whose value is compared, and those that need only be there on both or neither. */
const HEADER_VALUES = [
  "access-control-allow-origin",
  "cache-control",
  "content-disposition",
  "content-security-policy",
  "content-type",
  "vary",
  "x-content-type-options",
];
const HEADERS_PRESENT = ["atproto-repo-rev", "www-authenticate", "retry-after"];

type Json = unknown;

/** One-to-one, for the whole run. */
export class Pairing {
  readonly #toKith = new Map<string, string>();
  readonly #toReference = new Map<string, string>();

  /** False where one of the two already stands for another. */
  pair(kind: string, value: { reference: string; kith: string }): boolean {
    const [reference, kith] = [`${kind} ${value.reference}`, `${kind} ${value.kith}`];
    const known = this.#toKith.get(reference);
    if (known !== undefined) return known === kith;
    if (this.#toReference.has(kith)) return false;
    this.#toKith.set(reference, kith);
    this.#toReference.set(kith, reference);
    return true;
  }

  /** What is different between two texts; undefined where they say the same. */
  text(reference: string, kith: string, at = ""): string | undefined {
    if (reference === kith) return undefined;
    // A rev may be the rkey of a record that the server named at the same time.
    const kind = /\brev$/.test(at) ? "rev" : "";
    const [a, b] = [parts(reference), parts(kith)];
    const shown = `${show(reference)} → ${show(kith)}`;
    if (a.shape !== b.shape) return shown;
    const broken = a.paired.findIndex(
      (value, index) => !this.pair(kind, { reference: value, kith: b.paired[index] as string }),
    );
    return broken < 0 ? undefined : `${shown} (another one stood for "${a.paired[broken]}" before)`;
  }
}

/** A text with its volatile parts taken out, and those of them that are paired. */
function parts(text: string): { shape: string; paired: string[] } {
  const paired: string[] = [];
  const shape = text.replaceAll(ANY_VOLATILE, (...match) => {
    const groups = match.at(-1) as Record<string, string | undefined>;
    const kind = VOLATILE.find(([name]) => groups[name.replace("-", "_")] !== undefined);
    if (kind?.[2]) paired.push(String(match[0]));
    return `<${kind?.[0]}>`;
  });
  return { shape, paired };
}

const SHOWN_MAX = 120;

function show(value: Json): string {
  const text = JSON.stringify(value) ?? "absent";
  const shape = parts(text).shape;
  return shape.length > SHOWN_MAX ? `${shape.slice(0, SHOWN_MAX)}...` : shape;
}

function typeOf(value: Json): string {
  if (value === undefined) return "absent";
  if (value === null) return "null";
  return Array.isArray(value) ? "array" : typeof value;
}

/** What is different between two JSON values, one line each: `path: reference → kith`. */
export function compareValues(pairing: Pairing, at: string, reference: Json, kith: Json): string[] {
  const [a, b] = [typeOf(reference), typeOf(kith)];
  if (a !== b) return [`${at}: ${a} → ${b}`];
  if (Array.isArray(reference) && Array.isArray(kith)) {
    const lines =
      reference.length === kith.length ? [] : [`${at}.length: ${reference.length} → ${kith.length}`];
    const common = Math.min(reference.length, kith.length);
    for (let index = 0; index < common; index += 1)
      lines.push(...compareValues(pairing, `${at}[]`, reference[index], kith[index]));
    return [...new Set(lines)];
  }
  if (a === "object" && reference !== null) return compareObjects(pairing, at, [reference, kith] as never);
  if (a === "string") {
    // Nobody may look into a cursor, and that `since` continues the rev before is what the auditor proves.
    if (/\.(?:cursor|since)$/.test(at)) return [];
    const line = pairing.text(reference as string, kith as string, at);
    return line === undefined ? [] : [`${at}: ${line}`];
  }
  return reference === kith ? [] : [`${at}: ${show(reference)} → ${show(kith)}`];
}

type Fields = Readonly<Record<string, Json>>;

/** Seconds in a token's claims; blocks of trees that each server's own keys have shaped. */
const NUMBERS_APART = ["iat", "exp", "repoBlocks"];

function areNumbersApart(name: string, ...values: Json[]): boolean {
  return NUMBERS_APART.includes(name) && values.every((value) => typeof value === "number");
}

function compareObjects(
  pairing: Pairing,
  at: string,
  [reference, kith]: readonly [Fields, Fields],
): string[] {
  const names = new Set([...Object.keys(reference), ...Object.keys(kith)]);
  return [...names].flatMap((name) =>
    areNumbersApart(name, reference[name], kith[name])
      ? []
      : compareValues(pairing, `${at}.${name}`, reference[name], kith[name]),
  );
}

const isOk = (answer: Answer): boolean => answer.status >= 200 && answer.status < 300;

/** What is different between two answers, one line each. */
export async function compareAnswers(pairing: Pairing, reference: Answer, kith: Answer): Promise<string[]> {
  const lines: string[] = [];
  if (reference.status !== kith.status) lines.push(`status: ${reference.status} → ${kith.status}`);
  if (reference.error !== kith.error) lines.push(`error: ${reference.error} → ${kith.error}`);
  lines.push(...compareHeaders(pairing, reference, kith));
  if (!isOk(reference) && !isOk(kith)) lines.push(...compareErrorBodies(reference, kith));
  if (isOk(reference) && isOk(kith)) lines.push(...(await compareBodies(pairing, reference, kith)));
  return lines;
}

function compareHeaders(pairing: Pairing, reference: Answer, kith: Answer): string[] {
  const values = HEADER_VALUES.flatMap((name) => {
    const [a, b] = [reference, kith].map((answer) => headerOf(answer, name)) as [string, string];
    const line =
      name === "content-disposition" ? pairing.text(a, b) : a === b ? undefined : `"${a}" → "${b}"`;
    return line === undefined ? [] : [`header ${name}: ${line}`];
  });
  const presence = HEADERS_PRESENT.flatMap((name) => {
    const [a, b] = [reference, kith].map(({ headers }) => (headers.has(name) ? "there" : "absent"));
    return a === b ? [] : [`header ${name}: ${a} → ${b}`];
  });
  return [...values, ...presence];
}

/** A header's value in one spelling: `vary` without what is only about encoding and origin, JSON without its charset. */
function headerOf(answer: Answer, name: string): string {
  const value = (answer.headers.get(name) ?? "").toLowerCase();
  if (name === "content-type") return value.replace(/^(application\/json); ?charset=utf-8$/, "$1");
  if (name !== "vary") return value;
  const names = value.split(",").map((item) => item.trim());
  return names.filter((item) => !["", "accept-encoding", "origin"].includes(item)).join(", ");
}

function compareErrorBodies(reference: Answer, kith: Answer): string[] {
  const fields = (answer: Answer) =>
    Object.entries(answer.json)
      .map(([name, value]) => `${name}: ${typeOf(value)}`)
      .sort()
      .join(", ");
  const [a, b] = [fields(reference), fields(kith)];
  return a === b ? [] : [`error body: ${a} → ${b}`];
}

async function compareBodies(pairing: Pairing, reference: Answer, kith: Answer): Promise<string[]> {
  const type = headerOf(reference, "content-type");
  if (type.startsWith("application/json")) return compareValues(pairing, "body", json(reference), json(kith));
  if (type === "application/vnd.ipld.car") return compareCars(pairing, reference, kith);
  const texts = [reference, kith].map(({ bytes }) => Buffer.from(bytes).toString("latin1"));
  const line = pairing.text(texts[0] as string, texts[1] as string);
  return line === undefined ? [] : [`body: ${line}`];
}

function json(answer: Answer): Json {
  return answer.bytes.length === 0 ? undefined : JSON.parse(new TextDecoder().decode(answer.bytes));
}

/**
 * CARs: as many roots, which stand for each other, and as many blocks, unless the trees have keys that each server has made
 * and are of different shapes. The order of blocks is nobody's to rely on.
 */
async function compareCars(pairing: Pairing, reference: Answer, kith: Answer): Promise<string[]> {
  const [a, b] = [await readCar(reference.bytes), await readCar(kith.bytes)];
  const lines = compareValues(pairing, "roots", a.roots.map(String), b.roots.map(String));
  if (a.blocks.size === b.blocks.size) return lines;
  const [treeOfA, treeOfB] = [treeOf(a), treeOf(b)];
  const mayDiffer = treeOfA !== undefined && treeOfB !== undefined && treeOfA !== treeOfB;
  return mayDiffer ? lines : [...lines, `blocks: ${a.blocks.size} → ${b.blocks.size}`];
}

function treeOf({ roots, blocks }: Awaited<ReturnType<typeof readCar>>): string | undefined {
  const [root] = roots;
  const head = root && blocks.get(root);
  return head && String((cborToLexRecord(head) as { data?: unknown }).data);
}
