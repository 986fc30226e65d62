/** Before anything is changed for good: both servers' figures side by side, and the last question. */
import { KithError } from "../errors.ts";
import { samePreferences } from "./copy_preferences.ts";
import type { AccountFigures } from "./hosts.ts";
import type { Turn } from "./move_machine.ts";
import { type Counts, Unanswered } from "./people.ts";
import { planOperation } from "./plan_operation.ts";
import type { StepContext } from "./step_context.ts";

export async function compare(context: StepContext): Promise<Turn> {
  const { file, source, target, reporter, asker } = context;
  const [theirs, here] = [await source.figures(), await target.figures()];
  reporter.note(
    `records ${theirs.indexedRecords} there, ${here.indexedRecords} here; blobs ${theirs.expectedBlobs} there, ${here.importedBlobs} of ${here.expectedBlobs} here`,
  );
  if (theirs.repoRev !== file.move.repo?.rev) return behind(context);
  const { lostBlobs, lostBlobsAgreed } = file.move;
  if (here.expectedBlobs - here.importedBlobs > lostBlobs.length) return behind(context);
  if (theirs.indexedRecords !== here.indexedRecords) {
    const message = `Of ${theirs.indexedRecords} records there are ${here.indexedRecords} at "${target.url}"`;
    throw new KithError("upstream_failure", message, {
      hint: '"kith migrate abandon" takes the move back; the account at the source is as it was.',
    });
  }
  if (!(await samePreferences(context)).isSame) return behind(context);
  if (lostBlobs.length > lostBlobsAgreed) {
    if (!(await asker.leaveBehind({ blobs: lostBlobs })))
      throw new Unanswered(`${lostBlobs.length} blobs would be left behind: the move is not gone on with`);
    file.patch({ lostBlobsAgreed: lostBlobs.length });
  }
  return "on";
}

/** Whether something was written at the source since it was copied. */
export async function isBehind({ source, file, reporter }: StepContext): Promise<boolean> {
  const { repoRev } = await source.figures();
  if (repoRev === file.move.repo?.rev) return false;
  reporter.note("something was written at the source meanwhile: fetching it");
  return true;
}

function behind({ reporter }: StepContext): Turn {
  reporter.note("not everything is there yet: once more");
  return "behind";
}

export async function confirm(context: StepContext): Promise<Turn> {
  const { file, source, target, asker } = context;
  const { did, handle, lostBlobs } = file.move;
  if (file.move.confirmed) return "on";
  const plan = did.startsWith("did:plc:") ? await planOf(context) : undefined;
  const recommended = plan?.credentials ?? (await target.recommended());
  const [theirs, here] = [await source.figures(), await target.figures()];
  const isWanted = await asker.goAhead({
    did,
    from: source.url,
    to: recommended.services?.atproto_pds?.endpoint ?? target.url,
    handleBefore: handle,
    handle: recommended.alsoKnownAs?.[0]?.replace(/^at:\/\//, "") ?? handle,
    source: countsOf(theirs),
    target: countsOf(here),
    lostBlobs: lostBlobs.length,
    preferences: (await samePreferences(context)).count,
    rotationKeys: plan?.rotationKeys,
    keysDropped: plan?.keysDropped ?? [],
  });
  if (!isWanted) {
    throw new Unanswered("The identity has not been changed", {
      hint: 'Run the same command again to go on, or "kith migrate abandon" to take the move back.',
    });
  }
  file.patch({ confirmed: true });
  return "on";
}

/** What the directory is to be told. Throws KithError where the target would have the DID lead to another server. */
export async function planOf({ file, source, target, plc, choices }: StepContext) {
  const [current, theirs, here] = [
    await plc.data(file.move.did),
    await source.recommended(),
    await target.recommended(),
  ];
  const plan = planOperation({ current, source: theirs, target: here, ...choices });
  const endpoint = plan.credentials.services.atproto_pds?.endpoint;
  if (endpoint !== target.url)
    throw new KithError("upstream_failure", `"${target.url}" would have the DID lead to "${endpoint}"`, {
      hint: "Give the address by which that server calls itself.",
    });
  return plan;
}

function countsOf({ indexedRecords, importedBlobs, expectedBlobs }: AccountFigures): Counts {
  return { records: indexedRecords, blobs: importedBlobs, blobsExpected: expectedBlobs };
}
