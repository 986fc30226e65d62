/**
 * Which accounts may have blobs that no record refers to, and when to look at each: so that nobody has to open every
 * account's file to find them. An account is noted before such a blob can be there; that it is noted in vain does no
 * harm, and what is missed for a crash is found by the walk over all accounts. Times are Unix milliseconds.
 */
import type { Hub } from "./hub.ts";

/** How far the walk over all accounts is. */
export interface BlobWalk {
  /** Where it goes on; undefined at its beginning. */
  readonly cursor: string | undefined;
  readonly nextAt: number;
}

export class BlobLooks {
  readonly #hub: Hub;
  /** Changes under way that may leave such a blob, by account. */
  readonly #underWay = new Map<string, number>();

  /** Accounts that are being looked at, and whether a change has been under way since the look began. */
  readonly #disturbed = new Map<string, boolean>();

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** Runs `change`, which may leave a blob without a reference, with the account noted. */
  async around<T>(did: string, lookAt: number, change: () => Promise<T>): Promise<T> {
    this.#underWay.set(did, (this.#underWay.get(did) ?? 0) + 1);
    if (this.#disturbed.has(did)) this.#disturbed.set(did, true);
    try {
      if (!this.#has(did)) await this.note(did, lookAt);
      return await change();
    } finally {
      const left = (this.#underWay.get(did) ?? 1) - 1;
      if (left > 0) this.#underWay.set(did, left);
      else this.#underWay.delete(did);
    }
  }

  #has(did: string): boolean {
    return this.#hub.readOne("SELECT 1 FROM blob_look WHERE did = ?", did) !== undefined;
  }

  /** Notes the account, or puts the next look off or forward. */
  async note(did: string, lookAt: number): Promise<void> {
    await this.#hub.write((run) => {
      run(
        "INSERT INTO blob_look (did, look_at) VALUES (?, ?) ON CONFLICT (did) DO UPDATE SET look_at = excluded.look_at",
        did,
        lookAt,
      );
    });
  }

  /** Accounts whose look is due, the earliest first. */
  due(now: number, limit: number): string[] {
    return this.#hub
      .read<{ did: string }>(
        "SELECT did FROM blob_look WHERE look_at <= ? ORDER BY look_at LIMIT ?",
        now,
        limit,
      )
      .map(({ did }) => did);
  }

  /**
   * Runs one look at a time at an account: it says when the next one is to be, or undefined where nothing is left. Then
   * the account is forgotten, unless something has begun meanwhile that may leave a blob.
   */
  async look(did: string, run: () => Promise<number | undefined>): Promise<void> {
    this.#disturbed.set(did, this.#underWay.has(did));
    try {
      const nextAt = await run();
      if (nextAt !== undefined) return await this.note(did, nextAt);
      await this.#hub.write((sql) => {
        if (!this.#disturbed.get(did)) sql("DELETE FROM blob_look WHERE did = ?", did);
      });
    } finally {
      this.#disturbed.delete(did);
    }
  }

  walk(): BlobWalk {
    const row = this.#hub.readOne<{ cursor: string | null; next_at: number }>("SELECT * FROM blob_walk");
    return { cursor: row?.cursor ?? undefined, nextAt: row?.next_at ?? 0 };
  }

  async moveWalk({ cursor, nextAt }: BlobWalk): Promise<void> {
    await this.#hub.write((run) => {
      run("UPDATE blob_walk SET cursor = ?, next_at = ?", cursor ?? null, nextAt);
    });
  }
}
