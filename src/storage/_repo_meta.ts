/** The one row that says what an account's file holds. */
import { cidFromBytes } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import type { OwnerStatus, RepoState, RepoStatus } from "./repo_changes.ts";

export interface MetaRow {
  did: string | null;
  generation: number | null;
  head: Uint8Array | null;
  data: Uint8Array | null;
  rev: string | null;
  status: RepoStatus;
  owner_status: OwnerStatus;
  takedown_ref: string | null;
  last_tid: string | null;
  handle: string | null;
  signing_key: string | null;
}

export function readMeta(file: SqliteFile): MetaRow {
  const row = file.statement<MetaRow>("SELECT * FROM meta").get();
  if (!row) throw new KithError("storage_damaged", `Could not read "${file.path}": it has no meta row`);
  return row;
}

export function stateOf({ head, data, rev, status, ...meta }: MetaRow): RepoState {
  const { last_tid: lastTid, owner_status: ownerStatus, takedown_ref: takedownRef } = meta;
  const { handle, signing_key: signingKey } = meta;
  const rest = { status, ownerStatus, takedownRef, lastTid, handle, signingKey };
  if (!head || !data || rev === null) return { head: null, ...rest };
  return { head: { commit: cidFromBytes(head), rev, data: cidFromBytes(data) }, ...rest };
}
