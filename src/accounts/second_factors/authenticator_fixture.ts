/** For tests: an authenticator with one P-256 key, as a browser would answer for it. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

const FLAG_PRESENT = 0x01;
const FLAG_VERIFIED = 0x04;
const FLAG_ATTESTED = 0x40;

export interface AnswerChanges {
  readonly origin?: string;
  readonly rpId?: string;
  readonly type?: string;
  readonly challenge?: string;
  readonly verified?: boolean;
  readonly counter?: number;
  readonly userHandle?: string | undefined;
  readonly id?: string;
}

export class SoftwareAuthenticator {
  readonly id = randomBytes(32).toString("base64url");
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #site: { readonly origin: string; readonly rpId: string };
  /** As after the registration. */
  userHandle = "";
  counter = 0;

  constructor(site: { readonly origin: string; readonly rpId: string }) {
    this.#site = site;
    const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.#privateKey = pair.privateKey;
    this.#publicKey = pair.publicKey;
  }

  /** What `navigator.credentials.create` gives, as JSON. */
  create(options: { challenge: string; user: { id: string } }, changes: AnswerChanges = {}) {
    this.userHandle = options.user.id;
    const rawId = Buffer.from(this.id, "base64url");
    const idLength = Buffer.alloc(2);
    idLength.writeUInt16BE(rawId.length);
    const head = this.#authenticatorData(FLAG_ATTESTED, changes);
    const authData = Buffer.concat([head, Buffer.alloc(16), idLength, rawId, this.#coseKey()]);
    const attestationObject = Buffer.concat([
      Buffer.of(0xa3),
      cborText("fmt"),
      cborText("none"),
      cborText("attStmt"),
      Buffer.of(0xa0),
      cborText("authData"),
      Buffer.of(0x59, authData.length >> 8, authData.length & 0xff),
      authData,
    ]);
    return {
      ...this.#common(changes),
      response: {
        clientDataJSON: this.#clientData("webauthn.create", options.challenge, changes).toString("base64url"),
        attestationObject: attestationObject.toString("base64url"),
        transports: ["internal"],
      },
    };
  }

  /** What `navigator.credentials.get` gives, as JSON. */
  get(options: { challenge: string }, changes: AnswerChanges = {}) {
    this.counter = changes.counter ?? this.counter + 1;
    const authenticatorData = this.#authenticatorData(0, changes);
    const clientData = this.#clientData("webauthn.get", options.challenge, changes);
    const signed = Buffer.concat([authenticatorData, createHash("sha256").update(clientData).digest()]);
    return {
      ...this.#common(changes),
      response: {
        clientDataJSON: clientData.toString("base64url"),
        authenticatorData: authenticatorData.toString("base64url"),
        signature: sign("sha256", signed, this.#privateKey).toString("base64url"),
        userHandle: "userHandle" in changes ? changes.userHandle : this.userHandle,
      },
    };
  }

  #common({ id = this.id }: AnswerChanges) {
    return {
      id,
      rawId: id,
      type: "public-key",
      clientExtensionResults: {},
      authenticatorAttachment: "platform",
    };
  }

  #clientData(type: string, challenge: string, changes: AnswerChanges): Buffer {
    const { origin } = this.#site;
    return Buffer.from(JSON.stringify({ type, challenge, origin, crossOrigin: false, ...pick(changes) }));
  }

  #authenticatorData(flags: number, { rpId = this.#site.rpId, verified = true }: AnswerChanges): Buffer {
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(this.counter);
    const all = flags | FLAG_PRESENT | (verified ? FLAG_VERIFIED : 0);
    return Buffer.concat([createHash("sha256").update(rpId).digest(), Buffer.of(all), counter]);
  }

  #coseKey(): Buffer {
    const { x = "", y = "" } = this.#publicKey.export({ format: "jwk" });
    return Buffer.concat([
      Buffer.of(0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20),
      Buffer.from(x, "base64url"),
      Buffer.of(0x22, 0x58, 0x20),
      Buffer.from(y, "base64url"),
    ]);
  }
}

function pick({ origin, type, challenge }: AnswerChanges): object {
  return Object.fromEntries(
    Object.entries({ origin, type, challenge }).filter(([, value]) => value !== undefined),
  );
}

function cborText(text: string): Buffer {
  return Buffer.concat([Buffer.of(0x60 + text.length), Buffer.from(text)]);
}
