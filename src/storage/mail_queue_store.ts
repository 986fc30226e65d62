/** Mail that waits to be sent. It holds codes, so it is sealed. Times are Unix milliseconds. */
import { randomBytes } from "node:crypto";
import { KithError } from "../errors.ts";
import type { Hub } from "./hub.ts";
import type { Keyring, SealedPlace } from "./keyring.ts";

/** Messages that may wait. */
export const MAIL_QUEUE_MAX = 1_000;

export interface QueuedMail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  readonly html?: string;
  readonly via?: "moderation";
}

export interface MailRow {
  readonly id: string;
  /** Undefined where it cannot be opened any more. */
  readonly mail: QueuedMail | undefined;
  readonly attempts: number;
  readonly expiresAt: number;
}

interface Row {
  id: string;
  mail: Uint8Array;
  attempts: number;
  expires_at: number;
}

export class MailQueueStore {
  readonly #hub: Hub;
  readonly #keyring: Keyring;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#keyring = keyring;
  }

  /** Adds a message that is due now. Throws KithError busy past the bound. */
  async add(mail: QueuedMail, { now, expiresAt }: { now: number; expiresAt: number }): Promise<void> {
    const id = randomBytes(16).toString("hex");
    const sealed = this.#keyring.seal(Buffer.from(JSON.stringify(mail)), placeOf(id));
    await this.#hub.write((run) => {
      if (this.count() >= MAIL_QUEUE_MAX) {
        throw new KithError("busy", `Could not send a mail: ${MAIL_QUEUE_MAX} wait already`);
      }
      run(
        "INSERT INTO mail_queue (id, mail, next_at, expires_at) VALUES (?, ?, ?, ?)",
        id,
        sealed,
        now,
        expiresAt,
      );
    });
  }

  count(): number {
    return this.#hub.readOne<{ n: number }>("SELECT count(*) n FROM mail_queue")?.n ?? 0;
  }

  /** Those that were tried so many times. */
  countTried(attempts: number): number {
    const sql = "SELECT count(*) n FROM mail_queue WHERE attempts >= ?";
    return this.#hub.readOne<{ n: number }>(sql, attempts)?.n ?? 0;
  }

  /** Messages whose turn is at `now` or before, `limit` at most. */
  due(now: number, limit: number): MailRow[] {
    const rows = this.#hub.read<Row>(
      "SELECT id, mail, attempts, expires_at FROM mail_queue WHERE next_at <= ? ORDER BY next_at LIMIT ?",
      now,
      limit,
    );
    return rows.map(({ id, mail, attempts, expires_at: expiresAt }) => {
      return { id, mail: this.#unseal(id, mail), attempts, expiresAt };
    });
  }

  /** The turn of the message that is next; undefined where none waits. */
  nextAt(): number | undefined {
    return (
      this.#hub.readOne<{ at: number | null }>("SELECT min(next_at) AS at FROM mail_queue")?.at ?? undefined
    );
  }

  /** After an attempt that failed. */
  async putOff(id: string, { nextAt }: { nextAt: number }): Promise<void> {
    await this.#hub.write((run) => {
      run("UPDATE mail_queue SET attempts = attempts + 1, next_at = ? WHERE id = ?", nextAt, id);
    });
  }

  async remove(id: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM mail_queue WHERE id = ?", id);
    });
  }

  #unseal(id: string, sealed: Uint8Array): QueuedMail | undefined {
    try {
      return JSON.parse(Buffer.from(this.#keyring.unseal(sealed, placeOf(id))).toString());
    } catch {
      return undefined;
    }
  }
}

function placeOf(id: string): SealedPlace {
  return { purpose: "mail queue", table: "mail_queue", column: "mail", row: id };
}
