/** The session that a community's account has granted us by OAuth: one sealed column, written by two stores. */
import { SealedColumns } from "./_sealed_columns.ts";
import type { Run } from "./hub.ts";
import type { Keyring } from "./keyring.ts";

/** Everything that calls as the account need. Tokens are worth nothing without the key that they are bound to. */
export interface CommunityOAuth {
  /** The authorization server. */
  readonly issuer: string;
  /** As which client it was granted. */
  readonly clientId: string;
  /** A private JWK, P-256. */
  readonly dpopKey: Readonly<Record<string, unknown>>;
  readonly accessToken: string;
  readonly refreshToken: string;
  /** Milliseconds since 1970. */
  readonly expiresAt: number;
}

export function oauthColumns(keyring: Keyring): SealedColumns<"session"> {
  return new SealedColumns(keyring, { table: "community_oauth", purpose: "communities" });
}

export function sealOAuth(keyring: Keyring, { did, oauth }: { did: string; oauth: CommunityOAuth }) {
  return oauthColumns(keyring).seal(JSON.stringify(oauth), "session", did);
}

export function putOAuthRow(run: Run, { did, sealed }: { did: string; sealed: Uint8Array }): void {
  run(
    `INSERT INTO community_oauth (community, session) VALUES (?, ?)
     ON CONFLICT (community) DO UPDATE SET session = excluded.session`,
    did,
    sealed,
  );
}

export function dropOAuthRow(run: Run, did: string): void {
  run("DELETE FROM community_oauth WHERE community = ?", did);
}
