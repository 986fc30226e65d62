/** What the two firehoses say of each call: kinds, order, fields, and the roots of repos that hold equal records. */
import { cborToLexRecord, readCarWithRoot } from "@atproto/repo";
import { cidText, type Event, opsOf } from "../firehose.ts";
import { compareValues, type Pairing } from "./compare.ts";
import { MARK_COLLECTION, type Side } from "./oracle.ts";

/** The events of one side between the markers, by the number of the marker after them. */
export function eventsByMark(side: Side): Map<number, Event[]> {
  const marker = side.did("marker");
  const found = new Map<number, Event[]>();
  let waiting: Event[] = [];
  for (const event of side.firehose.events) {
    const [op] = event.type === "#commit" && event.did === marker ? opsOf(event) : [];
    if (!op?.path.startsWith(`${MARK_COLLECTION}/`)) {
      waiting.push(event);
      continue;
    }
    found.set(Number(op.path.split("mark-")[1]), waiting);
    waiting = [];
  }
  return found;
}

/** Which records each repo holds, as the firehose tells it, and how often two roots could be held against each other. */
export class Roots {
  readonly #records = { reference: new Map<string, string>(), kith: new Map<string, string>() };
  compared = 0;

  /** Takes in a #commit of each side; true where both repos hold the same records from now on. */
  apply(reference: Event, kith: Event): boolean {
    const isEqual = this.take("reference", [reference]) === this.take("kith", [kith]);
    if (isEqual) this.compared += 1;
    return isEqual;
  }

  /** Takes in the #commits of one side; what the repo of the last one holds, as text. */
  take(side: "reference" | "kith", events: readonly Event[]): string {
    const all = this.#records[side];
    let did = "";
    for (const event of events.filter(({ type }) => type === "#commit")) {
      did = event.did;
      for (const { action, path, cid } of opsOf(event)) {
        if (action === "delete") all.delete(`${did} ${path}`);
        else all.set(`${did} ${path}`, String(cid));
      }
    }
    const own = [...all].filter(([key]) => key.startsWith(did));
    return JSON.stringify(own.map(([key, cid]) => [key.slice(did.length), cid]).sort());
  }
}

/** What is different between the events that one call has caused, one line each. */
export async function compareEvents(
  { pairing, roots }: { pairing: Pairing; roots: Roots },
  [reference, kith]: readonly [readonly Event[], readonly Event[]],
): Promise<string[]> {
  const names = [reference, kith].map((events) => events.map(nameOf).join(", ") || "none");
  if (names[0] !== names[1]) {
    roots.take("reference", reference);
    roots.take("kith", kith);
    return [`events: ${names[0]} → ${names[1]}`];
  }
  const lines: string[] = [];
  for (const [index, event] of reference.entries()) {
    const other = kith[index] as Event;
    const [a, b] = [await describe(event), await describe(other)];
    lines.push(...compareValues(pairing, `event ${event.type}`, a.fields, b.fields));
    if (event.type !== "#commit" || !roots.apply(event, other)) continue;
    if (a.data !== b.data) lines.push(`event #commit.data: another root of equal records`);
  }
  return lines;
}

function nameOf(event: Event): string {
  if (event.type !== "#account") return event.type;
  return `#account ${event.body.active ? "active" : String(event.body.status)}`;
}

/** An event's fields as JSON: what is only numbered or signed by its type, CIDs as text, blocks by their roots. */
async function describe(
  event: Event,
): Promise<{ fields: Record<string, unknown>; data: string | undefined }> {
  const { blocks, ops, commit, prevData, ...rest } = event.body;
  const fields: Record<string, unknown> = { ...rest, seq: typeof rest.seq };
  if (!(blocks instanceof Uint8Array)) return { fields, data: undefined };
  const car = await readCarWithRoot(blocks);
  fields.blocks = car.root.toString();
  const head = cborToLexRecord(car.blocks.get(car.root) as Uint8Array) as { data: unknown };
  if (event.type === "#commit") {
    fields.commit = cidText(commit);
    fields.prevData = prevData === undefined ? undefined : cidText(prevData);
    // Whose order nobody may rely on.
    const sorted = opsOf(event).toSorted((a, b) => (a.path < b.path ? -1 : 1));
    fields.ops = sorted.map((op) => ({
      ...op,
      cid: op.cid?.toString() ?? null,
      ...(op.prev ? { prev: op.prev.toString() } : {}),
    }));
  }
  return { fields, data: String(head.data) };
}
