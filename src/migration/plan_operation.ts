/** What the DID of a moved account is to say, and whether the operation that the old server signed says just that. Pure. */
import { isDeepStrictEqual } from "node:util";
import {
  type AnyPlcOperation,
  cidOfOperation,
  type PlcOperation,
  parseDidKey,
  parsePlcOperation,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { PlcData } from "../identity/mod.ts";
import type { Credentials, RecommendedCredentials } from "./hosts.ts";

/** https://web.plc.directory/spec/v0.1/did-plc: a directory takes no more. */
export const ROTATION_KEYS_MAX = 5;

/**
 * Keys that bsky.social has put into the accounts that were made there. They are no key of the member, and a server that was
 * left should not keep a power over the account.
 */
const KEYS_OF_BSKY_SOCIAL: ReadonlySet<string> = new Set([
  "did:key:zQ3shhCGUqDKjStzuDxPkTxN6ujddP4RkEKJJouJGRRkaLGbg",
  "did:key:zQ3shpKnbdPx3g3CmPf5cRVTPe1HtSwVn5ish3wSnDPQCbLJK",
]);

export interface PlanInput {
  readonly current: PlcData;
  /** What the source recommends: its rotation keys are its own, but for the member's that it names. */
  readonly source: RecommendedCredentials;
  readonly target: Credentials;
  /** A key of the member that is to come first. */
  readonly recoveryKey?: string;
  /** Keys that are not to be kept. */
  readonly dropKeys: readonly string[];
}

export interface Plan {
  readonly credentials: Required<Credentials>;
  readonly rotationKeys: readonly { readonly key: string; readonly from: string }[];
  readonly keysDropped: readonly string[];
}

/** Throws KithError invalid_request, upstream_failure (the target recommends nothing that could be used). */
export function planOperation({ current, source, target, recoveryKey, dropKeys }: PlanInput): Plan {
  const endpoint = target.services?.atproto_pds?.endpoint;
  const signingKey = target.verificationMethods?.atproto;
  if (
    endpoint === undefined ||
    signingKey === undefined ||
    !target.rotationKeys?.length ||
    !target.alsoKnownAs?.length
  )
    throw new KithError("upstream_failure", "The new server does not say what the DID document needs");
  if (recoveryKey !== undefined) checkKey(recoveryKey);
  const theirs = (source.rotationKeys ?? []).filter((key) => key !== source.recoveryKey);
  const sources = new Set([...theirs, ...KEYS_OF_BSKY_SOCIAL, ...dropKeys]);
  const keys = new Map<string, string>();
  const add = (key: string, from: string) => {
    if (!keys.has(key)) keys.set(key, from);
  };
  if (recoveryKey !== undefined) add(recoveryKey, "new recovery key");
  for (const key of current.rotationKeys) if (!sources.has(key)) add(key, "kept");
  for (const key of target.rotationKeys) add(key, "new server");
  if (keys.size > ROTATION_KEYS_MAX)
    throw new KithError(
      "invalid_request",
      `The DID would have ${keys.size} rotation keys, and ${ROTATION_KEYS_MAX} are allowed: ${[...keys.keys()].join(", ")}`,
      { hint: 'Give "--drop-key" for one that is not needed.' },
    );
  const otherNames = current.alsoKnownAs.filter((name) => !name.startsWith("at://"));
  return {
    credentials: {
      rotationKeys: [...keys.keys()],
      alsoKnownAs: [...new Set([...target.alsoKnownAs, ...otherNames])],
      verificationMethods: { ...current.verificationMethods, ...target.verificationMethods },
      services: { ...current.services, ...target.services },
    },
    rotationKeys: [...keys].map(([key, from]) => ({ key, from })),
    keysDropped: current.rotationKeys.filter((key) => !keys.has(key)),
  };
}

/** The operation, where it says what was asked for and follows the last one. Throws KithError upstream_failure. */
export function checkSigned(
  json: unknown,
  { wanted, last }: { wanted: Required<Credentials>; last: AnyPlcOperation },
): PlcOperation {
  const refuse = (why: string, cause?: unknown) =>
    new KithError("upstream_failure", `The old server signed something else than was asked for: ${why}`, {
      cause,
    });
  let operation: AnyPlcOperation;
  try {
    operation = parsePlcOperation(json);
  } catch (error) {
    throw refuse("it is no PLC operation", error);
  }
  if (operation.type !== "plc_operation") throw refuse(`its type is "${operation.type}"`);
  for (const field of ["rotationKeys", "alsoKnownAs", "verificationMethods", "services"] as const) {
    const [signed, asked]: unknown[] = [operation[field], wanted[field]];
    if (!isDeepStrictEqual(signed, asked)) throw refuse(`${field} is ${JSON.stringify(signed)}`);
  }
  if (!follows(operation, last)) throw refuse("it does not follow the last operation of the DID");
  return operation;
}

/** Whether an operation comes right after the last one that the directory has. */
export function follows(operation: unknown, last: AnyPlcOperation): boolean {
  return (operation as { prev?: unknown }).prev === cidOfOperation(last);
}

function checkKey(key: string): void {
  try {
    parseDidKey(key);
  } catch (cause) {
    const message = `"${key}" is no key that can be a recovery key: it must be a did:key of K-256 or P-256`;
    throw new KithError("invalid_request", message, { cause });
  }
}
