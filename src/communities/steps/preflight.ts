import { StepRefused } from "../../actors/mod.ts";
import { isKithError, KithError } from "../../errors.ts";
import { asCallersError } from "../refusals.ts";
import { hostOf, required, type StepChange, type StepContext } from "./step_context.ts";

/** No DID: 24 times the first letter is the hash of nothing that anybody has found. */
const NOBODY = `did:plc:${"a".repeat(24)}`;

/**
 * Everything that can be found out before anything is permanent: the host is who it says, would take the account, and the
 * directory answers. Whatever fails here ends the attempt: nothing is lost with it.
 */
export async function preflight(context: StepContext): Promise<StepChange> {
  const { attempt, request, plc } = context;
  try {
    await requireDirectory(plc);
    if (attempt.kind === "mint") return {};
    const host = hostOf(context);
    const { did: pdsDid, inviteRequired, phoneRequired } = await host.describe();
    const { email, inviteCode } = request;
    if (phoneRequired) throw refusal(host.endpoint, "it asks for a phone number", "invalid_request");
    if (inviteRequired && inviteCode === undefined) {
      throw refusal(host.endpoint, "it asks for an invite code", "invalid_invite_code");
    }
    await host.preflight({
      handle: required(attempt.handle, "handle"),
      ...(email === undefined ? {} : { email }),
      ...(inviteCode === undefined ? {} : { inviteCode }),
    });
    return { pdsDid };
  } catch (error) {
    throw new StepRefused(asCallersError(error));
  }
}

async function requireDirectory(plc: StepContext["plc"]): Promise<void> {
  try {
    await plc.auditLog(NOBODY);
  } catch (error) {
    if (!isKithError(error)) throw error;
    const message = `Could not begin: the PLC directory, which keeps identities, does not answer; try again later (${error.message})`;
    throw new KithError(error.code, message, { cause: error });
  }
}

function refusal(endpoint: string, why: string, code: KithError["code"]): KithError {
  return new KithError(code, `Could not make an account at "${endpoint}": ${why}`);
}
