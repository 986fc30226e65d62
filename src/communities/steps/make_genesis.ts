import { randomBytes } from "node:crypto";
import { generatePrivateKey, type KeyType, signerFromPrivateKey } from "../../atproto/mod.ts";
import { buildGenesis, buildMint } from "../plc_operations.ts";
import { required, type StepChange, type StepContext } from "./step_context.ts";

const PASSWORD_BYTES = 32;
/** Of the key that signs for the account until its host has given it one. */
const TEMPORARY_KEY_TYPE: KeyType = "k256";
const SUBORDINATE_KEY_TYPE: KeyType = "p256";

/** Makes the keys and signs the first operation, by which the DID is known: all of it is stored before any of it is sent. */
export async function makeGenesis(context: StepContext): Promise<StepChange> {
  const { attempt } = context;
  if (attempt.kind === "mint") return mint(context);
  const shared = {
    rotationKey: attempt.rotationKey,
    handle: required(attempt.handle, "handle"),
    pdsEndpoint: required(attempt.pdsEndpoint, "endpoint"),
  };
  if (attempt.kind === "native") {
    const signingKeyType = context.keyType;
    const signingKey = newKey(signingKeyType);
    const { didKey } = signerFromPrivateKey(signingKeyType, signingKey);
    const subordinate = context.rotationSigner;
    return { ...buildGenesis({ ...shared, subordinate, signingKey: didKey }), signingKey, signingKeyType };
  }
  const signingKey = newKey(TEMPORARY_KEY_TYPE);
  const subordinateKey = newKey(SUBORDINATE_KEY_TYPE);
  const { didKey } = signerFromPrivateKey(TEMPORARY_KEY_TYPE, signingKey);
  const subordinate = signerFromPrivateKey(SUBORDINATE_KEY_TYPE, subordinateKey);
  return {
    ...buildGenesis({ ...shared, subordinate, signingKey: didKey }),
    signingKey,
    signingKeyType: TEMPORARY_KEY_TYPE,
    subordinateKey,
    accountPassword: randomBytes(PASSWORD_BYTES).toString("base64url"),
  };
}

/** The key that signs both operations ends here: it is never stored, and after the second one it has no power. */
function mint({ attempt: { rotationKey, handle } }: StepContext): StepChange {
  const signer = signerFromPrivateKey(SUBORDINATE_KEY_TYPE, newKey(SUBORDINATE_KEY_TYPE));
  return buildMint({ rotationKey, handle, signer });
}

function newKey(type: KeyType): Uint8Array {
  for (;;) {
    try {
      return generatePrivateKey(type, randomBytes(32));
    } catch (error) {
      // One time in 2^32 the bytes are no key.
      if (!(error instanceof RangeError)) throw error;
    }
  }
}
