/** Drives the move machine with its effects, and takes a move back. */
import { createActor, fromPromise, toPromise } from "xstate";
import { KithError } from "../errors.ts";
import { isHostError } from "../identity/mod.ts";
import { AccountAtHost } from "./account_at_host.ts";
import { hasMoved } from "./change_identity.ts";
import type { HostSurroundings } from "./hosts.ts";
import { canAbandon, type Step } from "./move.ts";
import type { MoveFile } from "./move_file.ts";
import { moveMachine } from "./move_machine.ts";
import { signInByAsking } from "./sign_in.ts";
import type { StepContext } from "./step_context.ts";
import { performStep } from "./steps.ts";

export interface MoveDeps extends Pick<StepContext, "asker" | "reporter" | "choices" | "plc" | "dids"> {
  readonly surroundings: HostSurroundings;
}

/** Goes on with the move where it is, to its end. Throws what stopped it: the file holds the step to go on with. */
export async function runMove(file: MoveFile, deps: MoveDeps): Promise<void> {
  const context = contextOf(file, deps);
  const machine = moveMachine.provide({
    actors: {
      perform: fromPromise(({ input }: { input: { step: Step } }) => performStep(input.step, context)),
    },
    actions: { keepStep: (_, { step }) => file.patch({ step }) },
  });
  const { step, did } = file.move;
  const actor = createActor(machine, { input: { step, isWeb: did.startsWith("did:web:") } });
  const ended = toPromise(actor);
  actor.start();
  await ended;
  const snapshot = actor.getSnapshot();
  if (snapshot.value === "stopped") throw snapshot.context.problem;
  file.remove();
}

export interface Abandoned {
  /** What became of the account at the target. */
  readonly account: "none" | "kept" | "ending" | "deleted";
}

/**
 * Takes a move back: the account at the target goes, where it was made by this move, and the file. At the source nothing has
 * been changed. Throws KithError invalid_request once the DID leads to the target.
 */
export async function abandonMove(
  file: MoveFile,
  { deleteCode, ...deps }: MoveDeps & { deleteCode?: string | undefined },
): Promise<Abandoned> {
  const context = contextOf(file, deps);
  const { move } = file;
  const refusal = new KithError("invalid_request", `"${move.did}" leads to "${move.target.url}" already`, {
    hint: 'The move cannot be taken back any more: run "kith migrate" again to end it, and move back after that.',
  });
  if (!canAbandon(move.step)) throw refusal;
  const account = await removeAccount(context, { deleteCode, refusal });
  if (context.source.isSignedIn) await context.source.signOut().catch(() => undefined);
  if (context.target.isSignedIn) await context.target.signOut().catch(() => undefined);
  file.remove();
  return { account };
}

async function removeAccount(
  context: StepContext,
  { deleteCode, refusal }: { deleteCode: string | undefined; refusal: KithError },
): Promise<Abandoned["account"]> {
  const { file, target, asker } = context;
  const { did, created } = file.move;
  if (created === undefined) return "none";
  if (!(await target.hasAccount(did))) return "none";
  if (!target.isSignedIn) await context.signInAtTarget();
  if ((await target.figures()).activated || (await hasMoved(context))) throw refusal;
  if (created.hadOne) return "kept";
  if (deleteCode !== undefined) {
    const password = await asker.targetPassword({ host: target.url, isNew: false });
    await target.delete({ did, password, token: deleteCode });
    return "deleted";
  }
  await target.endAt(new Date());
  return (await isGoneSoon(context)) ? "deleted" : "ending";
}

/** A kith deletes at once; another server may have its own time for it, or never do it. */
async function isGoneSoon({ file, target }: StepContext): Promise<boolean> {
  for (let looks = 0; looks < 20; looks++) {
    if (!(await target.hasAccount(file.move.did))) return true;
    await Bun.sleep(100);
  }
  return false;
}

function contextOf(file: MoveFile, deps: MoveDeps): StepContext {
  const { move } = file;
  const { asker, surroundings } = deps;
  const at = (
    which: "source" | "target",
    where: { url: string; signInUrl: string },
    onSessionLost: () => Promise<unknown>,
  ) =>
    new AccountAtHost({
      ...surroundings,
      ...where,
      tokens: move.tokens[which],
      onTokens: (tokens) => file.patch({ tokens: { ...file.move.tokens, [which]: tokens } }),
      onSessionLost,
    });
  const signInAtSource = async () => {
    const { signIn: host } = move.source;
    const { email } = await signInByAsking({
      did: move.did,
      signIn: (given) => source.signIn(given),
      factorCode: asker.readyFactorCode(),
      askPassword: (wrong) => asker.sourcePassword({ host, handle: move.handle, ...because(wrong) }),
      askFactorCode: (wrong) => asker.factorCode({ host, ...because(wrong) }),
    });
    file.patch({ email });
  };
  const signInAtTarget = async () => {
    const host = move.target.url;
    await signInByAsking({
      did: move.did,
      signIn: (given) => target.signIn(given),
      factorCode: undefined,
      askPassword: (wrong) => asker.targetPassword({ host, isNew: false, ...because(wrong) }),
      askFactorCode: (wrong) => asker.factorCode({ host, ...because(wrong) }),
    });
  };
  const source = at("source", { url: move.source.pds, signInUrl: move.source.signIn }, signInAtSource);
  const target = at("target", { url: move.target.url, signInUrl: move.target.url }, signInAtTarget);
  return { file, source, target, signInAtSource, signInAtTarget, ...deps };
}

function because(wrong: string | undefined): { wrong?: string } {
  return wrong === undefined ? {} : { wrong };
}

/** True where a server refused an app password, which may not move an account. */
export function isAppPasswordRefusal(error: unknown): boolean {
  return (
    isHostError(error) &&
    /app.?pass|privileged|insufficient|bad token scope/i.test(`${error.error} ${error.reason}`)
  );
}
