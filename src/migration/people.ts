/** What a move asks of the person who drives it, and what it tells. The command line is one such; a test is another. */
import { KithError } from "../errors.ts";
import type { LostBlob, Step } from "./move.ts";

/** `wrong` is why the answer before was of no use. Each may throw `Unanswered`. */
export interface Asker {
  sourcePassword(about: { host: string; handle: string; wrong?: string }): Promise<string>;
  /** The code that a host mails, or an authenticator shows, for signing in: not the one for the identity. */
  factorCode(about: { host: string; wrong?: string }): Promise<string>;
  /** The same for the source, where it was given before anybody asked. */
  readyFactorCode(): string | undefined;
  targetPassword(about: { host: string; isNew: boolean; wrong?: string }): Promise<string>;
  email(about: { host: string; known: string | undefined; wrong?: string }): Promise<string>;
  handle(about: { host: string; proposal: string; isOwn: boolean; wrong?: string }): Promise<string>;
  inviteCode(about: { host: string; wrong?: string }): Promise<string>;
  /** The code that the source mails before it signs the change of the DID's identity. */
  plcCode(about: { host: string; email: string | undefined; wrong?: string }): Promise<string>;
  leaveBehind(about: { blobs: readonly LostBlob[] }): Promise<boolean>;
  /** The last question before the DID is changed. */
  goAhead(about: Summary): Promise<boolean>;
  /** Whether the document of a did:web says this now. */
  documentReady(about: { did: string; document: string; wrong: string }): Promise<boolean>;
}

export interface Counts {
  readonly records: number;
  readonly blobs: number;
  readonly blobsExpected: number;
}

export interface Summary {
  readonly did: string;
  readonly from: string;
  readonly to: string;
  readonly handleBefore: string;
  readonly handle: string;
  readonly source: Counts;
  readonly target: Counts;
  readonly lostBlobs: number;
  readonly preferences: number | undefined;
  /** The rotation keys that will be in the PLC directory, each with where it comes from; undefined for a did:web. */
  readonly rotationKeys: readonly { readonly key: string; readonly from: string }[] | undefined;
  readonly keysDropped: readonly string[];
}

export interface Reporter {
  step(step: Step): void;
  /** One sentence about the step that is on its way. */
  note(text: string): void;
  progress(now: { what: "repo" | "blobs"; done: number; total?: number; bytes: number }): void;
}

/** A question that nobody answered: everything is kept, and the next run asks it again. */
export class Unanswered extends KithError {
  constructor(message: string, options: { hint?: string } = {}) {
    super("invalid_request", message, options);
  }
}

/** How often one question is put in a run. */
export const ATTEMPTS_MAX = 3;
