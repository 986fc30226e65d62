/** What is kept of a move from one server to another between two runs, and in which order it goes. */
import { z } from "zod";

/**
 * The steps, in order. Each looks before it acts, so that doing one again is doing it once. Up to `confirm` nothing has
 * changed but that a deactivated account is at the target.
 */
export const STEPS = [
  "signIn",
  "createAccount",
  "signInThere",
  "copyRepo",
  "copyBlobs",
  "copyPreferences",
  "compare",
  "confirm",
  "requestCode",
  "sign",
  "submit",
  "awaitDocument",
  "activate",
  "deactivate",
  "finish",
] as const;

export type Step = (typeof STEPS)[number];

const tokens = z.object({ accessJwt: z.string(), refreshJwt: z.string() });

/** The tokens of one sign-in. */
export type Tokens = z.infer<typeof tokens>;

const lostBlob = z.object({ cid: z.string(), recordUri: z.string().optional(), why: z.string() });

/** A blob that cannot be brought along. */
export type LostBlob = z.infer<typeof lostBlob>;

export const moveSchema = z.object({
  version: z.literal(1),
  step: z.enum(STEPS),
  did: z.string(),
  /** At the source. */
  handle: z.string(),
  source: z.object({
    /** Where the account is, and where one signs in. */
    pds: z.string(),
    signIn: z.string(),
  }),
  target: z.object({ url: z.string(), did: z.string() }),
  /** Of the source's account; shown where a mail is said to go there. */
  email: z.string().optional(),
  /** Set before the account at the target is asked for: from then on there may be one. */
  created: z.object({ handle: z.string(), hadOne: z.boolean() }).optional(),
  tokens: z.object({ source: tokens.optional(), target: tokens.optional() }),
  /** The repo as it was last fetched, by the source's revision. */
  repo: z.object({ rev: z.string(), bytes: z.number(), imported: z.boolean() }).optional(),
  lostBlobs: z.array(lostBlob),
  /** How many of these the member has agreed to leave behind. */
  lostBlobsAgreed: z.number(),
  confirmed: z.boolean(),
  codeRequested: z.boolean(),
  /** Signed by the source, for the directory. */
  operation: z.unknown().optional(),
});

export type Move = z.infer<typeof moveSchema>;

/** Whether a move that has come this far can still be undone: nothing has been handed to the directory yet. */
export function canAbandon(step: Step): boolean {
  return STEPS.indexOf(step) <= STEPS.indexOf("submit") || step === "awaitDocument";
}

/** A new move. */
export function newMove(facts: Pick<Move, "did" | "handle" | "source" | "target">): Move {
  return {
    version: 1,
    step: "signIn",
    ...facts,
    tokens: {},
    lostBlobs: [],
    lostBlobsAgreed: 0,
    confirmed: false,
    codeRequested: false,
  };
}
