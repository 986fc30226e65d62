/** Wires what changes the identities of accounts: handles, signing keys, PLC operations. Called by features.ts. */
import type { AccountFeatures } from "./account_features.ts";
import { type HandleLookup, type HandleRules, IdentityChanges, PlcSigning } from "./accounts/mod.ts";
import type { DidDocument, Signer } from "./atproto/mod.ts";
import type { Config } from "./config/mod.ts";
import type { Actors, Stores } from "./engine.ts";
import type { PlcDirectory } from "./identity/mod.ts";
import type { RootLogger } from "./logger.ts";

export interface IdentityFeaturesParts {
  readonly config: Config;
  readonly stores: Stores;
  readonly repos: Actors["registry"];
  readonly plc: PlcDirectory;
  readonly dids: {
    resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument>;
    forget(did: string): void;
  };
  readonly handles: HandleRules;
  readonly handleResolver: HandleLookup;
  readonly rotationSigner: Signer;
  readonly owners: AccountFeatures;
  readonly log: RootLogger;
  /** What is registered last is closed first. */
  onClose(close: () => unknown): void;
}

export function startIdentityFeatures(parts: IdentityFeaturesParts) {
  const { config, stores, repos, plc, dids, handles, handleResolver, rotationSigner, owners, log } = parts;
  const { publicUrl } = config;
  const { accounts, reservedKeys } = stores;
  const identityChanges = new IdentityChanges({
    accounts,
    rows: stores.identityChanges,
    repos,
    plc,
    documents: dids,
    handles,
    handleResolver,
    reservedKeys,
    rotationSigner,
    publicUrl,
    logger: log,
  });
  parts.onClose(() => identityChanges.stop());
  // Nobody waits for it: what was cut off keeps its names reserved until then.
  void identityChanges.settleAll();
  const { mail, emailTokens: tokens } = owners;
  const signing = new PlcSigning({ accounts, mail, tokens, plc, rotationSigner });
  const plcIdentity = {
    ...{ plc, dids, publicUrl },
    get rotationKeys() {
      const keys = [config.recoveryDidKey, rotationSigner.didKey].filter((key) => key !== undefined);
      return [...new Set(keys)];
    },
  };
  return { identityChanges, signing, plcIdentity };
}
