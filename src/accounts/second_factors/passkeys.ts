import { createHash } from "node:crypto";
import type {
  AuthenticationResponseJSON,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from "@simplewebauthn/server";
import { z } from "zod";
import { isKithError, KithError } from "../../errors.ts";
import type { Awaitable } from "../account.ts";
import type { FreshAuth } from "../step_up.ts";
import { CHALLENGE_LIFETIME_MS, Challenges, type ChallengeUse } from "./challenges.ts";

/** Passkeys of one account, at the most, and characters of a name. */
export const PASSKEYS_MAX = 20;
export const PASSKEY_NAME_CHARS_MAX = 64;
const PASSKEY_NAME = "Passkey";
/** COSE: ES256, EdDSA, RS256. */
const ALGORITHMS = [-7, -8, -257];

/** A passkey as its owner sees it. Times in milliseconds since 1970. */
export interface Passkey {
  /** The credential id, base64url. */
  readonly id: string;
  readonly name: string;
  readonly createdAt: number;
  readonly lastUsedAt: number | null;
}

interface StoredPasskey extends Passkey {
  readonly did: string;
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly counter: number;
  readonly transports: readonly string[];
}

/** What passkeys need of their store. Every change is durable when its promise resolves. */
export interface PasskeyRows {
  passkeys(did: string): Awaitable<readonly StoredPasskey[]>;
  passkey(id: string): Awaitable<StoredPasskey | undefined>;
  /** Throws KithError invalid_request where it is there already, or the account has `accountMax` of them. */
  addPasskey(passkey: Omit<StoredPasskey, "lastUsedAt"> & { readonly accountMax: number }): Promise<unknown>;
  /** False where it is gone, or its counter has come as far meanwhile. */
  usePasskey(use: { id: string; counter: number; now: number }): Promise<boolean>;
}

export interface PasskeysOptions {
  readonly rows: PasskeyRows;
  /** Origin of the pages, without a slash at its end. Its host name is what passkeys are bound to. */
  readonly publicUrl: string;
  /** What the browser calls this server. */
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

const base64url = (charsMax: number) =>
  z
    .string()
    .max(charsMax)
    .regex(/^[A-Za-z0-9_-]+$/);
const COMMON = {
  id: base64url(1_364),
  rawId: base64url(1_364),
  type: z.literal("public-key"),
};
const ASSERTION = z.object({
  ...COMMON,
  response: z.object({
    clientDataJSON: base64url(8_192),
    authenticatorData: base64url(8_192),
    signature: base64url(2_048),
    userHandle: base64url(128).nullish(),
  }),
});
const ATTESTATION = z.object({
  ...COMMON,
  response: z.object({
    clientDataJSON: base64url(8_192),
    attestationObject: base64url(32_768),
    transports: z.array(z.string().max(32)).max(8).optional(),
  }),
});
const CLIENT_DATA = z.object({ challenge: base64url(1_024) });

/**
 * Loaded when the first passkey is: with what it brings along it takes a tenth of a second. In the executable a module is set up later
 * than in its sources, so what the library's own parts need comes first by hand.
 */
async function library(): Promise<typeof import("@simplewebauthn/server")> {
  await import("reflect-metadata");
  return import("@simplewebauthn/server");
}

/**
 * Passkeys of this server's pages: discoverable, and with user verification, so that one is enough to sign in with.
 * What a browser answers is text from outside: nothing of it is believed before it is verified.
 */
export class Passkeys {
  readonly #options: PasskeysOptions;
  readonly #challenges: Challenges;
  readonly #origin: string;
  readonly #rpId: string;
  readonly #now: () => number;

  constructor(options: PasskeysOptions) {
    this.#options = options;
    this.#challenges = new Challenges(options);
    const { origin, hostname } = new URL(options.publicUrl);
    this.#origin = origin;
    this.#rpId = hostname;
    this.#now = options.now ?? Date.now;
  }

  /** Options for `navigator.credentials.create`, as JSON. */
  async beginAdding(
    { did }: FreshAuth,
    { handle }: { handle: string },
  ): Promise<PublicKeyCredentialCreationOptionsJSON> {
    const { generateRegistrationOptions } = await library();
    const known = await this.#options.rows.passkeys(did);
    const options = await generateRegistrationOptions({
      rpName: this.#options.name,
      rpID: this.#rpId,
      userName: handle,
      userDisplayName: `@${handle}`,
      userID: userHandleOf(did),
      timeout: CHALLENGE_LIFETIME_MS,
      attestationType: "none",
      excludeCredentials: known.map(describe),
      authenticatorSelection: { residentKey: "required", userVerification: "required" },
      supportedAlgorithmIDs: ALGORITHMS,
    });
    this.#challenges.keep(options.challenge, { purpose: "add", subject: did });
    return options;
  }

  /**
   * Adds the passkey of a browser's answer, durably. Throws KithError auth_required where it is not an answer to a challenge of
   * `beginAdding`, invalid_request (too many, there already).
   */
  async finishAdding(
    { did }: FreshAuth,
    { answer, name }: { answer: unknown; name?: string | undefined },
  ): Promise<Passkey> {
    const response = parse(ATTESTATION, answer);
    const challenge = this.#takeChallenge(response, { purpose: "add", subject: did });
    const { verifyRegistrationResponse } = await library();
    const { registrationInfo } = await verified(() =>
      verifyRegistrationResponse({
        response: { ...response, clientExtensionResults: {} } as RegistrationResponseJSON,
        ...this.#expected(challenge),
        supportedAlgorithmIDs: ALGORITHMS,
      }),
    );
    if (registrationInfo === undefined) throw refused();
    const { id, publicKey, counter } = registrationInfo.credential;
    const made = { id, name: nameOf(name), createdAt: this.#now() };
    const transports = response.response.transports ?? [];
    await this.#options.rows.addPasskey({
      ...made,
      did,
      publicKey,
      counter,
      transports,
      accountMax: PASSKEYS_MAX,
    });
    return { ...made, lastUsedAt: null };
  }

  /** Options for `navigator.credentials.get`, as JSON, with the passkeys of an account. */
  async beginVerifying(did: string): Promise<PublicKeyCredentialRequestOptionsJSON> {
    const allowCredentials = (await this.#options.rows.passkeys(did)).map(describe);
    return this.#begin({ purpose: "verify", subject: did }, { allowCredentials });
  }

  /** The same for whoever comes: the browser offers the accounts that it has passkeys of. */
  beginSignIn(deviceId: string): Promise<PublicKeyCredentialRequestOptionsJSON> {
    return this.#begin({ purpose: "sign_in", subject: deviceId });
  }

  /** Verifies an answer to `beginVerifying`. Throws KithError auth_required. */
  async verify(did: string, answer: unknown): Promise<void> {
    await this.#verify(answer, { purpose: "verify", subject: did });
  }

  /** Verifies an answer to `beginSignIn`, and says whose passkey it is. Throws KithError auth_required. */
  signIn(deviceId: string, answer: unknown): Promise<string> {
    return this.#verify(answer, { purpose: "sign_in", subject: deviceId });
  }

  async #begin(
    use: ChallengeUse,
    options: { allowCredentials?: { id: string; transports: string[] }[] } = {},
  ): Promise<PublicKeyCredentialRequestOptionsJSON> {
    const { generateAuthenticationOptions } = await library();
    const made = await generateAuthenticationOptions({
      rpID: this.#rpId,
      timeout: CHALLENGE_LIFETIME_MS,
      userVerification: "required",
      ...options,
    });
    this.#challenges.keep(made.challenge, use);
    return made;
  }

  async #verify(answer: unknown, use: ChallengeUse): Promise<string> {
    const response = parse(ASSERTION, answer);
    const challenge = this.#takeChallenge(response, use);
    const passkey = await this.#options.rows.passkey(response.id);
    if (passkey === undefined || !isOwner(passkey.did, response.response.userHandle, use)) throw refused();
    const { verifyAuthenticationResponse } = await library();
    const { authenticationInfo } = await verified(() =>
      verifyAuthenticationResponse({
        response: { ...response, clientExtensionResults: {} } as AuthenticationResponseJSON,
        ...this.#expected(challenge),
        credential: { id: passkey.id, publicKey: passkey.publicKey, counter: passkey.counter },
      }),
    );
    const use_ = { id: passkey.id, counter: authenticationInfo.newCounter, now: this.#now() };
    if (!(await this.#options.rows.usePasskey(use_))) throw refused();
    return passkey.did;
  }

  #takeChallenge({ response }: { response: { clientDataJSON: string } }, use: ChallengeUse): string {
    const { challenge } = parse(CLIENT_DATA, json(response.clientDataJSON));
    this.#challenges.take(challenge, use);
    return challenge;
  }

  #expected(expectedChallenge: string) {
    return {
      expectedChallenge,
      expectedOrigin: this.#origin,
      expectedRPID: this.#rpId,
      requireUserVerification: true,
    };
  }
}

/** The name that an owner gives a passkey. Throws KithError invalid_request. */
export function nameOf(name: string | undefined): string {
  const trimmed = name?.trim() || PASSKEY_NAME;
  if (trimmed.length <= PASSKEY_NAME_CHARS_MAX) return trimmed;
  throw new KithError(
    "invalid_request",
    `Could not name the passkey: ${trimmed.length} characters, ${PASSKEY_NAME_CHARS_MAX} at most`,
  );
}

/** What an authenticator knows an account by: the same for each of its passkeys. */
function userHandleOf(did: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(createHash("sha256").update(`kith passkeys of\0${did}`).digest());
}

/** Of an account that is known already; or, where the passkey is to say whose it is, as the authenticator says it too. */
function isOwner(did: string, userHandle: string | null | undefined, use: ChallengeUse): boolean {
  const isRight = userHandle === Buffer.from(userHandleOf(did)).toString("base64url");
  return use.purpose === "sign_in" ? isRight : did === use.subject && (isRight || !userHandle);
}

function describe({ id, transports }: StoredPasskey): { id: string; transports: string[] } {
  return { id, transports: [...transports] };
}

function json(encoded: string): unknown {
  try {
    return JSON.parse(Buffer.from(encoded, "base64url").toString());
  } catch {
    return undefined;
  }
}

function parse<T>(schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  throw refused(parsed.error);
}

/** Whatever the library throws, it is about the answer. */
async function verified<T extends { verified: boolean }>(verify: () => Promise<T>): Promise<T> {
  const result = await verify().catch((cause: unknown) => {
    throw isKithError(cause) ? cause : refused(cause);
  });
  if (!result.verified) throw refused();
  return result;
}

function refused(cause?: unknown): KithError {
  return new KithError("auth_required", "Could not verify the passkey", { cause });
}
