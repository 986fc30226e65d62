/** What a step works with, and what comes of it. */
import type { KeyType, Signer } from "../../atproto/mod.ts";
import type { PlcDirectory } from "../../identity/mod.ts";
import type { Attempt, AttemptChange, AttemptSecrets } from "../../storage/mod.ts";
import type { HostClient, HostFor, HostKind } from "../hosts/host.ts";
import type { Declaration, SealedRequest } from "../provision_request.ts";

/** The account that is to write its declaration. */
export interface DeclaringCommunity {
  readonly did: string;
  readonly kind: HostKind;
  readonly pdsEndpoint: string;
  /** Null for a native account, which needs none. */
  readonly appPassword: string | null;
}

/** Writes the record, and again what is there already. Errors as those of com.atproto.repo.putRecord. */
export type Declare = (community: DeclaringCommunity, declaration: Declaration) => Promise<void>;

/** What all steps share. */
export interface StepParts {
  readonly plc: Pick<PlcDirectory, "auditLog" | "submit">;
  readonly hostFor: HostFor;
  /** The server's PLC rotation key: the subordinate one of native accounts. */
  readonly rotationSigner: Signer;
  /** Of native accounts' signing keys. */
  readonly keyType: KeyType;
  readonly declare: Declare;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export interface StepContext extends StepParts {
  readonly attempt: Attempt;
  readonly secrets: AttemptSecrets;
  readonly request: SealedRequest;
}

/** What a step leaves to be kept. */
export type StepChange = Omit<AttemptChange, "state" | "now" | "leaseMs" | "audit">;

export type StepOf = (context: StepContext) => Promise<StepChange>;

/** The host of an attempt that has one. */
export function hostOf({ attempt, hostFor }: Pick<StepContext, "attempt" | "hostFor">): HostClient {
  const { kind, pdsEndpoint } = attempt;
  if (kind === "mint" || pdsEndpoint === null) throw new TypeError(`the attempt "${attempt.id}" has no host`);
  return hostFor(kind, pdsEndpoint);
}

/** A field that an earlier step has set. */
export function required<T>(value: T | null | undefined, name: string): T {
  if (value === null || value === undefined) throw new TypeError(`the attempt has no ${name} yet`);
  return value;
}

/** The account, as its host is asked for it. */
export function accountOf({ attempt, secrets }: StepContext): { did: string; password?: string } {
  const did = required(attempt.did, "DID");
  return secrets.accountPassword === null ? { did } : { did, password: secrets.accountPassword };
}
