/** Codes that were mailed: one of a purpose and account, as hashes. Times are Unix milliseconds. */
import { KithError } from "../errors.ts";
import type { Hub, Run } from "./hub.ts";

export interface EmailTokenRow {
  readonly did: string;
  readonly purpose: string;
  readonly tokenHash: string;
  readonly expiresAt: number;
}

/** What a caller shows for a change that needs a code. */
export interface TokenProof {
  readonly purpose: string;
  readonly tokenHash: string;
  readonly now: number;
}

const COLUMNS = "did, purpose, token_hash AS tokenHash, expires_at AS expiresAt";

export class EmailTokenStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** Takes the place of the one before. */
  async put({ did, purpose, tokenHash, expiresAt }: EmailTokenRow): Promise<void> {
    await this.#hub.write((run) => {
      run(
        "INSERT OR REPLACE INTO email_token (did, purpose, token_hash, expires_at) VALUES (?, ?, ?, ?)",
        did,
        purpose,
        tokenHash,
        expiresAt,
      );
    });
  }

  /** By hash alone: for a code that comes without the name of its account. */
  byHash(purpose: string, tokenHash: string): EmailTokenRow | undefined {
    return this.#hub.readOne<EmailTokenRow>(
      `SELECT ${COLUMNS} FROM email_token WHERE purpose = ? AND token_hash = ?`,
      purpose,
      tokenHash,
    );
  }

  /** Throws KithError invalid_token or expired_token; the code stays. */
  check(did: string, proof: TokenProof): void {
    checkToken(this.#hub, { did, proof });
  }

  /** Uses the code up. Throws KithError invalid_token or expired_token. */
  async take(did: string, proof: TokenProof): Promise<void> {
    await this.#hub.write((run) => takeToken(this.#hub, run, { did, proof }));
  }
}

/** Within a transaction: uses a code up together with what it is for. Throws KithError invalid_token, expired_token. */
export function takeToken(hub: Hub, run: Run, { did, proof }: { did: string; proof: TokenProof }): void {
  checkToken(hub, { did, proof });
  run("DELETE FROM email_token WHERE did = ? AND purpose = ?", did, proof.purpose);
}

function checkToken(hub: Hub, { did, proof }: { did: string; proof: TokenProof }): void {
  const row = hub.readOne<EmailTokenRow>(
    `SELECT ${COLUMNS} FROM email_token WHERE did = ? AND purpose = ?`,
    did,
    proof.purpose,
  );
  if (row?.tokenHash !== proof.tokenHash) throw new KithError("invalid_token", "Token is invalid");
  if (row.expiresAt <= proof.now) throw new KithError("expired_token", "Token is expired");
}
