import { randomBytes } from "node:crypto";
import { StepRefused } from "../../actors/mod.ts";
import { createServiceJwt, signerFromPrivateKey } from "../../atproto/mod.ts";
import { KithError } from "../../errors.ts";
import type { NewHostAccount } from "../hosts/host.ts";
import { asCallersError, isRefusal } from "../refusals.ts";
import { accountOf, hostOf, required, type StepChange, type StepContext } from "./step_context.ts";

const TOKEN_LIFETIME_S = 60;
const JTI_BYTES = 16;

/** Makes the account at its host, where it is not there by our own password. */
export async function createAccount(context: StepContext): Promise<StepChange> {
  if (await isThere(context)) return {};
  const host = hostOf(context);
  try {
    await host.createAccount(newAccount(context));
  } catch (error) {
    if (!isRefusal(error)) throw error;
    // What was asked for before may have been done late.
    if (await isThere(context)) return {};
    throw new StepRefused(asCallersError(error));
  }
  return {};
}

async function isThere(context: StepContext): Promise<boolean> {
  const host = hostOf(context);
  const found = await host.hasAccount(accountOf(context));
  if (found !== "foreign") return found !== "none";
  const did = required(context.attempt.did, "DID");
  throw new KithError("upstream_failure", `"${host.endpoint}" has an account "${did}" that is not ours`, {
    hint: "Only the key of that DID can have made it, or the server is not to be trusted. Reap the attempt.",
  });
}

function newAccount(context: StepContext): NewHostAccount {
  const { attempt, secrets, request } = context;
  const { email, inviteCode } = request;
  const account = {
    ...accountOf(context),
    handle: required(attempt.handle, "handle"),
    ...(email === undefined ? {} : { email }),
    ...(inviteCode === undefined ? {} : { inviteCode }),
  };
  const signingKey = {
    type: required(secrets.signingKeyType, "signing key"),
    privateKey: required(secrets.signingKey, "signing key"),
  };
  if (attempt.kind === "native") {
    const genesis = required(attempt.genesis, "first operation");
    return { ...account, native: { signingKey, genesis, rotationKey: attempt.rotationKey } };
  }
  return { ...account, serviceToken: serviceToken(context, signingKey) };
}

/** By the key that the DID names now, for the server that says that it is the host. */
function serviceToken(
  { attempt, now }: StepContext,
  { type, privateKey }: { type: "k256" | "p256"; privateKey: Uint8Array },
): string {
  const iat = Math.floor(now() / 1000);
  return createServiceJwt({
    iss: required(attempt.did, "DID"),
    aud: required(attempt.pdsDid, "DID of its host"),
    lxm: "com.atproto.server.createAccount",
    iat,
    exp: iat + TOKEN_LIFETIME_S,
    jti: randomBytes(JTI_BYTES).toString("hex"),
    signer: signerFromPrivateKey(type, privateKey),
  });
}
