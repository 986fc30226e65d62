import { StepRefused } from "../../actors/mod.ts";
import { cidOfOperation, type PlcOperation } from "../../atproto/mod.ts";
import { KithError } from "../../errors.ts";
import { PlcRefusedError } from "../../identity/mod.ts";
import { lastOf, operationFrom, stands } from "../plc_operations.ts";
import { required, type StepChange, type StepContext } from "./step_context.ts";

/** Sends the first operation, where the directory does not have it. */
export async function submitGenesis(context: StepContext): Promise<StepChange> {
  await submitOnce(context, operationFrom(required(context.attempt.genesis, "first operation")));
  return {};
}

/** Sends the second operation, where the directory does not have it. From then on the temporary key is of no use. */
export async function submitUpdate(context: StepContext): Promise<StepChange> {
  await submitOnce(context, operationFrom(required(context.attempt.update, "second operation")));
  return context.attempt.kind === "mint" ? {} : { erase: ["signingKey"] };
}

async function submitOnce({ attempt, plc }: StepContext, operation: PlcOperation): Promise<void> {
  const did = required(attempt.did, "DID");
  const cid = cidOfOperation(operation);
  const log = await plc.auditLog(did);
  if (stands(log, cid)) return;
  const last = lastOf(log);
  const lastCid = last ? cidOfOperation(last) : null;
  if (operation.prev !== lastCid) throw changedMeanwhile(did);
  try {
    await plc.submit(did, operation);
  } catch (error) {
    if (!(error instanceof PlcRefusedError)) throw error;
    // What was sent before may have come to the directory late.
    const anew = await plc.auditLog(did);
    if (stands(anew, cid)) return;
    if (operation.prev !== null && anew.length > log.length) throw changedMeanwhile(did);
    // The operation is ours: what is wrong with it is nothing that the caller can mend.
    throw new StepRefused(new KithError("upstream_failure", error.message, { cause: error }));
  }
}

function changedMeanwhile(did: string): KithError {
  return new KithError(
    "upstream_failure",
    `The DID "${did}" was changed by another of its keys meanwhile: what was prepared for it does not fit any more`,
  );
}
