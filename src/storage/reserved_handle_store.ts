/** Names that the operator keeps for later: whole handles, or first labels under every domain of the server. */
import { KithError } from "../errors.ts";
import type { Hub } from "./hub.ts";

export const RESERVED_HANDLES_MAX = 10_000;

export class ReservedHandleStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** True where one of these names is reserved; they are in lower case. */
  has(...names: readonly string[]): boolean {
    return names.some((name) => this.#hub.readOne("SELECT 1 FROM reserved_handle WHERE name = ?", name));
  }

  /** Nothing where the name is reserved already. KithError busy past the bound. */
  async add(name: string, { now }: { now: number }): Promise<void> {
    await this.#hub.write((run) => {
      if (this.has(name)) return;
      const count = this.#hub.readOne<{ n: number }>("SELECT count(*) n FROM reserved_handle")?.n ?? 0;
      if (count >= RESERVED_HANDLES_MAX) {
        throw new KithError(
          "busy",
          `Could not reserve "${name}": ${RESERVED_HANDLES_MAX} names are reserved already`,
        );
      }
      run("INSERT INTO reserved_handle (name, created_at) VALUES (?, ?)", name, now);
    });
  }
}
