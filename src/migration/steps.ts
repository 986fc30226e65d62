/** What each step of a move does. Each looks at both servers before it acts, so that it may be done again. */

import { KithError } from "../errors.ts";
import { activate, awaitDocument, deactivate, finish, requestCode, sign, submit } from "./change_identity.ts";
import { compare, confirm } from "./compare.ts";
import { copyBlobs } from "./copy_blobs.ts";
import { copyPreferences } from "./copy_preferences.ts";
import { copyRepo } from "./copy_repo.ts";
import { createAccount } from "./create_account.ts";
import type { Step } from "./move.ts";
import type { Turn } from "./move_machine.ts";
import type { StepContext } from "./step_context.ts";

type StepAction = (context: StepContext) => Promise<Turn>;

const ACTIONS: Readonly<Record<Step, StepAction>> = {
  signIn: async ({ source, signInAtSource }) => {
    if (!source.isSignedIn) await signInAtSource();
    return "on";
  },
  createAccount,
  signInThere: async (context) => {
    if (!context.target.isSignedIn) await context.signInAtTarget();
    const { activated, validDid } = await context.target.figures();
    if (!activated) return validDid && context.file.move.operation !== undefined ? "moved" : "on";
    throw new KithError("invalid_request", `The account at "${context.target.url}" is active already`, {
      hint: "Nothing is to be moved there.",
    });
  },
  copyRepo,
  copyBlobs,
  copyPreferences,
  compare,
  confirm,
  requestCode,
  sign,
  submit,
  awaitDocument,
  activate,
  deactivate,
  finish,
};

/** Does one step. Throws KithErrors of the servers, `Unanswered`. */
export async function performStep(step: Step, context: StepContext): Promise<Turn> {
  context.reporter.step(step);
  return await ACTIONS[step](context);
}
