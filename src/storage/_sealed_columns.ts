/** The sealed columns of one table: text and bytes, each bound to its column and row. */
import type { Keyring, SealedPlace } from "./keyring.ts";

export class SealedColumns<Column extends string> {
  readonly #keyring: Keyring;
  readonly #table: string;
  readonly #purpose: string;

  constructor(keyring: Keyring, { table, purpose }: { table: string; purpose: string }) {
    this.#keyring = keyring;
    this.#table = table;
    this.#purpose = purpose;
  }

  seal(value: Uint8Array | string, column: Column, row: string): Uint8Array {
    const bytes = typeof value === "string" ? Buffer.from(value) : value;
    return this.#keyring.seal(bytes, this.#place(column, row));
  }

  /** Null where nothing is there. Throws KithError storage_damaged. */
  bytes(sealed: Uint8Array | null, column: Column, row: string): Uint8Array | null {
    return sealed && this.#keyring.unseal(sealed, this.#place(column, row));
  }

  text(sealed: Uint8Array | null, column: Column, row: string): string | null {
    const bytes = this.bytes(sealed, column, row);
    return bytes && new TextDecoder().decode(bytes);
  }

  /** The same value under the newest key. */
  reseal(sealed: Uint8Array | null, column: Column, row: string): Uint8Array | null {
    return sealed && this.#keyring.reseal(sealed, this.#place(column, row));
  }

  #place(column: Column, row: string): SealedPlace {
    return { purpose: this.#purpose, table: this.#table, column, row };
  }
}
