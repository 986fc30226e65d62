/** The steps of an attempt by the state in which each is taken. Each looks at what is there, and does what is missing. */
import type { ProvisionStep } from "../../actors/mod.ts";
import { signerFromPrivateKey } from "../../atproto/mod.ts";
import { buildUpdate } from "../plc_operations.ts";
import { isRefusal } from "../refusals.ts";
import { createAccount } from "./create_account.ts";
import { makeGenesis } from "./make_genesis.ts";
import { preflight } from "./preflight.ts";
import {
  accountOf,
  hostOf,
  required,
  type StepChange,
  type StepContext,
  type StepOf,
} from "./step_context.ts";
import { submitGenesis, submitUpdate } from "./submit.ts";

const STEPS: Readonly<Record<ProvisionStep, StepOf>> = {
  planned: preflight,
  preflighted: makeGenesis,
  genesisReady: submitGenesis,
  genesisSubmitted: (context) =>
    context.attempt.kind === "mint" ? submitUpdate(context) : createAccount(context),
  accountCreated: (context) => (context.attempt.kind === "native" ? activate(context) : makeUpdate(context)),
  plcReady: submitUpdate,
  plcUpdated: (context) => (context.attempt.kind === "mint" ? nothing() : activate(context)),
  activated: (context) => (context.attempt.kind === "native" ? declare(context) : makeAppPassword(context)),
  credentialReady: declare,
  declared: nothing,
};

export function performStep(step: ProvisionStep, context: StepContext): Promise<StepChange> {
  return STEPS[step](context);
}

/** What is left is to be kept. */
async function nothing(): Promise<StepChange> {
  return {};
}

/** Signs the operation that the host needs, from what it recommends and what the directory has. */
async function makeUpdate(context: StepContext): Promise<StepChange> {
  const { attempt, secrets, plc, now } = context;
  const did = required(attempt.did, "DID");
  const host = hostOf(context);
  const recommended = await host.recommended(accountOf(context));
  const update = buildUpdate({
    did,
    log: await plc.auditLog(did),
    recommended,
    rotationKey: attempt.rotationKey,
    subordinate: signerFromPrivateKey("p256", required(secrets.subordinateKey, "rotation key")),
    handle: required(attempt.handle, "handle"),
    endpoint: required(attempt.pdsEndpoint, "endpoint"),
    nowMs: now(),
  });
  return { update };
}

async function activate(context: StepContext): Promise<StepChange> {
  const host = hostOf(context);
  const account = accountOf(context);
  if ((await host.hasAccount(account)) !== "active") await host.activate(account);
  return {};
}

/** One of the name may be there, with a password that never came to us: the host makes it anew. */
async function makeAppPassword(context: StepContext): Promise<StepChange> {
  const name = `kith-${context.attempt.id}`;
  return { appPassword: await hostOf(context).createAppPassword({ ...accountOf(context), name }) };
}

/** A community that is active is not given up for a record that its host will not have: that is told, and it goes on. */
async function declare(context: StepContext): Promise<StepChange> {
  const { attempt, secrets, request, now } = context;
  const { declaration } = request;
  const { kind } = attempt;
  if (declaration === undefined || kind === "mint") return {};
  const did = required(attempt.did, "DID");
  const pdsEndpoint = required(attempt.pdsEndpoint, "endpoint");
  try {
    await context.declare({ did, kind, pdsEndpoint, appPassword: secrets.appPassword }, declaration);
    return {};
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const message = `The declaration was refused: ${error.message}`;
    return { lastError: { step: "declared", code: error.code, message, at: now() } };
  }
}
