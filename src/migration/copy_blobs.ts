/** Images and films: what the target says it misses is fetched from the source, a few at a time, and sent on as it comes. */
import { isKithError, KithError } from "../errors.ts";
import { forEach } from "../for_each.ts";
import { isHostError, type Upload } from "../identity/mod.ts";
import type { LostBlob } from "./move.ts";
import type { Turn } from "./move_machine.ts";
import { Unanswered } from "./people.ts";
import type { StepContext } from "./step_context.ts";

const BLOBS_AT_ONCE = 4;
/** Blobs that fail are tried again in another pass. */
const PASSES_MAX = 3;
/** Far more than any account has. */
const BLOBS_MAX = 1_000_000;

/** The source has other bytes than were asked for: cut off on their way, or for good. */
class OtherBlob extends KithError {
  constructor(message: string) {
    super("upstream_failure", message);
  }
}

interface Missing {
  readonly cid: string;
  readonly recordUri: string;
}

export async function copyBlobs(context: StepContext): Promise<Turn> {
  const { file, reporter } = context;
  const lost = new Map<string, LostBlob>();
  const failures = new Map<string, unknown>();
  let waiting = await allMissing(context);
  const total = waiting.length;
  let [done, bytes] = [0, 0];
  const show = () => reporter.progress({ what: "blobs", done, total, bytes });
  show();
  for (let pass = 1; pass <= PASSES_MAX && waiting.length > 0; pass++) {
    failures.clear();
    await forEach(waiting, { atOnce: BLOBS_AT_ONCE }, async (blob) => {
      try {
        await copyBlob(blob.cid, { context, onBytes: (count) => (bytes += count) });
        done += 1;
      } catch (error) {
        const why = whyLost(error);
        if (why === undefined) failures.set(blob.cid, error);
        else lost.set(blob.cid, { ...blob, why });
        if (isFatal(error)) throw error;
      }
      show();
    });
    waiting = waiting.filter(({ cid }) => failures.has(cid));
  }
  waiting = await withoutDamaged(waiting, { context, failures, lost });
  // Across runs it is the list of the last one that counts.
  file.patch({ lostBlobs: [...lost.values()] });
  if (waiting.length > 0) {
    const [first] = failures.values();
    const why = first instanceof Error ? first.message : String(first);
    const message = `${waiting.length} of ${total} blobs could not be copied: ${why}`;
    throw new KithError("upstream_failure", message, { hint: "Run the same command again.", cause: first });
  }
  reporter.note(`brought ${done} over (${(bytes / 1e6).toFixed(1)} MB)`);
  return "on";
}

/** Where nothing but damaged blobs is left, they may be left behind; asked here, so that another run tries them again. */
async function withoutDamaged(
  waiting: Missing[],
  about: { context: StepContext; failures: Map<string, unknown>; lost: Map<string, LostBlob> },
): Promise<Missing[]> {
  const { context, failures, lost } = about;
  const damaged = waiting.flatMap((blob) => {
    const error = failures.get(blob.cid);
    return error instanceof OtherBlob ? [{ ...blob, why: error.message }] : [];
  });
  if (damaged.length === 0 || damaged.length < waiting.length) return waiting;
  if (!(await context.asker.leaveBehind({ blobs: [...lost.values(), ...damaged] })))
    throw new Unanswered(`${damaged.length} blobs would be left behind: the move is not gone on with`);
  for (const blob of damaged) lost.set(blob.cid, blob);
  context.file.patch({ lostBlobsAgreed: lost.size });
  return [];
}

async function allMissing({ target }: StepContext): Promise<Missing[]> {
  const found = new Map<string, Missing>();
  for (let cursor: string | undefined; ; ) {
    const page = await target.missingBlobs(cursor);
    const before = found.size;
    for (const { cid, recordUri } of page.blobs) found.set(cid, { cid, recordUri });
    // A cursor that leads nowhere new ends it too.
    if (!page.cursor || page.cursor === cursor || found.size === before || found.size > BLOBS_MAX)
      return [...found.values()];
    cursor = page.cursor;
  }
}

async function copyBlob(
  cid: string,
  { context, onBytes }: { context: StepContext; onBytes: (count: number) => void },
): Promise<void> {
  const { source, target, file } = context;
  const stored = await target.uploadBlob(async () => {
    const blob = await source.blob(file.move.did, cid);
    if (blob.body instanceof Uint8Array) onBytes(blob.body.byteLength);
    return blob.body instanceof Uint8Array ? blob : { ...blob, body: counted(blob.body, onBytes) };
  });
  if (stored !== cid) throw new OtherBlob(`what "${source.url}" has under this name is "${stored}"`);
}

function counted(body: Exclude<Upload["body"], Uint8Array>, onBytes: (count: number) => void) {
  return body.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        onBytes(chunk.byteLength);
        controller.enqueue(chunk);
      },
    }),
  );
}

/** Why a blob will not come, however often it is tried; undefined where it may. */
function whyLost(error: unknown): string | undefined {
  if (!isHostError(error)) return undefined;
  const isGone = error.error === "BlobNotFound" || error.status === 404 || /not found/i.test(error.reason);
  if (isGone) return `it is gone at "${error.host}"`;
  const isRefused =
    [413, 415].includes(error.status) ||
    ["PayloadTooLarge", "InvalidMimeType", "BlobTooLarge"].includes(error.error);
  return isRefused ? `"${error.host}" does not take it: ${error.reason || error.error}` : undefined;
}

/** What the next blob would meet as well. */
function isFatal(error: unknown): boolean {
  return isKithError(error, "rate_limited") || isKithError(error, "invalid_request");
}
