import type { Migration } from "./migrations.ts";

/** The schema of the accounts store's file, step by step: what was released is never changed. */
export const HUB_MIGRATIONS: readonly Migration[] = [
  `
  CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    high_water INTEGER NOT NULL,
    last_generation INTEGER NOT NULL
  ) STRICT;
  INSERT INTO meta VALUES (1, 0, 0);

  CREATE TABLE account (
    did TEXT PRIMARY KEY,
    handle TEXT UNIQUE,
    email TEXT UNIQUE,
    email_confirmed_at INTEGER,
    password_hash TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN
      ('creating', 'active', 'deactivated', 'takendown', 'suspended', 'deleting', 'deleted')),
    generation INTEGER NOT NULL UNIQUE,
    key_type TEXT NOT NULL,
    signing_key BLOB,
    genesis_operation BLOB,
    tombstone_key TEXT,
    tombstone_before BLOB,
    tombstone_after BLOB,
    invite_code TEXT,
    invites_disabled INTEGER NOT NULL DEFAULT 0,
    takedown_ref TEXT,
    deactivated_at INTEGER,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX account_by_age ON account (created_at, did);
  CREATE INDEX account_unfinished ON account (state) WHERE state IN ('creating', 'deleting');

  CREATE TABLE open_repo (
    did TEXT PRIMARY KEY,
    generation INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE session (
    id TEXT PRIMARY KEY,
    did TEXT NOT NULL,
    family_id TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    app_password_name TEXT,
    next_id TEXT,
    grace_until INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX session_by_did ON session (did);
  CREATE INDEX session_by_family ON session (family_id);
  CREATE INDEX session_by_end ON session (expires_at);

  CREATE TABLE invite_code (
    code TEXT PRIMARY KEY,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    disabled INTEGER NOT NULL DEFAULT 0,
    for_account TEXT NOT NULL,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE invite_use (
    code TEXT NOT NULL REFERENCES invite_code (code),
    used_by TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (code, used_by)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE reserved_key (
    id TEXT PRIMARY KEY,
    did_key TEXT NOT NULL,
    key_type TEXT NOT NULL,
    signing_key BLOB NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX reserved_key_by_age ON reserved_key (created_at);
  `,
  `
  CREATE TABLE app_password (
    did TEXT NOT NULL,
    name TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    privileged INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (did, name)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX app_password_by_hash ON app_password (did, password_hash);
  `,
  `
  ALTER TABLE account ADD COLUMN delete_after INTEGER;
  CREATE INDEX account_by_end ON account (delete_after) WHERE delete_after IS NOT NULL;
  `,
  `
  ALTER TABLE account ADD COLUMN sessions_from INTEGER;
  CREATE TABLE email_token (
    did TEXT NOT NULL,
    purpose TEXT NOT NULL,
    token_hash TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (did, purpose)
  ) STRICT, WITHOUT ROWID;
  CREATE UNIQUE INDEX email_token_by_hash ON email_token (purpose, token_hash);
  CREATE TABLE mail_queue (
    id TEXT PRIMARY KEY,
    mail BLOB NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX mail_queue_by_turn ON mail_queue (next_at);
  `,
  `
  CREATE TABLE blob_look (
    did TEXT PRIMARY KEY,
    look_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX blob_look_by_time ON blob_look (look_at);
  CREATE TABLE blob_walk (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    cursor TEXT,
    next_at INTEGER NOT NULL
  ) STRICT;
  INSERT INTO blob_walk VALUES (1, NULL, 0);
  `,
  `
  ALTER TABLE account ADD COLUMN invite_note TEXT;
  CREATE INDEX invite_code_by_age ON invite_code (created_at, code);
  CREATE INDEX invite_code_by_use ON invite_code (used, code);
  CREATE INDEX invite_code_by_account ON invite_code (for_account, created_at);
  CREATE INDEX invite_use_by_user ON invite_use (used_by);
  `,
  `
  ALTER TABLE account ADD COLUMN recovery_key TEXT;
  CREATE TABLE identity_change (
    did TEXT PRIMARY KEY,
    handle TEXT UNIQUE,
    did_key TEXT,
    key_type TEXT,
    signing_key BLOB,
    started_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE reserved_handle (
    name TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE oauth_request (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL,
    client_auth TEXT NOT NULL,
    parameters TEXT NOT NULL,
    dpop_jkt TEXT NOT NULL,
    device TEXT,
    did TEXT,
    scope TEXT,
    expanded TEXT,
    code_hash TEXT UNIQUE,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX oauth_request_by_end ON oauth_request (expires_at);
  CREATE INDEX oauth_request_by_did ON oauth_request (did) WHERE did IS NOT NULL;
  CREATE TABLE oauth_grant (
    id TEXT PRIMARY KEY,
    did TEXT NOT NULL,
    client_id TEXT NOT NULL,
    client_auth TEXT NOT NULL,
    dpop_jkt TEXT NOT NULL,
    scope TEXT NOT NULL,
    expanded TEXT NOT NULL,
    device TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    code_hash TEXT NOT NULL UNIQUE,
    access_hash TEXT NOT NULL UNIQUE,
    access_expires_at INTEGER NOT NULL,
    refresh_hash TEXT,
    refresh_expires_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX oauth_grant_by_did ON oauth_grant (did, updated_at);
  CREATE INDEX oauth_grant_by_end ON oauth_grant (ends_at);
  CREATE TABLE oauth_used (
    hash TEXT PRIMARY KEY,
    until INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX oauth_used_by_end ON oauth_used (until);
  CREATE TABLE oauth_consent (
    did TEXT NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (did, client_id)
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE second_factor (
    did TEXT PRIMARY KEY,
    totp_secret BLOB,
    totp_step INTEGER NOT NULL DEFAULT 0,
    totp_since INTEGER,
    email TEXT,
    passkey_required INTEGER NOT NULL DEFAULT 0
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE backup_code (
    did TEXT NOT NULL,
    code_hash TEXT NOT NULL,
    PRIMARY KEY (did, code_hash)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE passkey (
    id TEXT PRIMARY KEY,
    did TEXT NOT NULL,
    public_key BLOB NOT NULL,
    counter INTEGER NOT NULL,
    transports TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_used_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX passkey_by_did ON passkey (did);
  CREATE TABLE device (
    id TEXT PRIMARY KEY,
    secret_hash TEXT NOT NULL,
    previous_hash TEXT,
    confirmed INTEGER NOT NULL DEFAULT 0,
    rotated_at INTEGER NOT NULL,
    user_agent TEXT NOT NULL,
    ip TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX device_by_use ON device (last_seen_at);
  CREATE TABLE device_account (
    device_id TEXT NOT NULL,
    did TEXT NOT NULL,
    authenticated_at INTEGER NOT NULL,
    remember INTEGER NOT NULL,
    PRIMARY KEY (device_id, did)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX device_account_by_did ON device_account (did);
  `,
  `
  CREATE TABLE account_language (
    did TEXT PRIMARY KEY,
    language TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  `
  CREATE TABLE attempt (
    id TEXT PRIMARY KEY,
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    request_digest TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('native', 'loopback', 'remote', 'mint')),
    state TEXT NOT NULL,
    handle TEXT,
    pds_endpoint TEXT,
    pds_did TEXT,
    rotation_key TEXT NOT NULL,
    did TEXT UNIQUE,
    genesis_op BLOB,
    update_op BLOB,
    tombstone_cid TEXT,
    fence INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER,
    last_error TEXT,
    request BLOB,
    signing_key BLOB,
    signing_key_type TEXT,
    subordinate_key BLOB,
    account_password BLOB,
    app_password BLOB,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (caller, idempotency_key)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX attempt_by_age ON attempt (created_at);
  CREATE INDEX attempt_by_use ON attempt (updated_at) WHERE state <> 'graduated';
  CREATE TABLE attempt_archive (
    id TEXT PRIMARY KEY,
    caller TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    handle TEXT,
    pds_endpoint TEXT,
    did TEXT,
    rotation_key TEXT NOT NULL,
    last_error TEXT,
    tombstone_cid TEXT,
    note TEXT NOT NULL,
    signing_key BLOB,
    signing_key_type TEXT,
    subordinate_key BLOB,
    erase_at INTEGER,
    created_at INTEGER NOT NULL,
    archived_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX attempt_archive_by_age ON attempt_archive (created_at);
  CREATE INDEX attempt_archive_by_time ON attempt_archive (archived_at, id);
  CREATE INDEX attempt_archive_by_end ON attempt_archive (erase_at) WHERE erase_at IS NOT NULL;

  CREATE TABLE community (
    did TEXT PRIMARY KEY,
    mode TEXT NOT NULL CHECK (mode IN ('provisioned', 'minted', 'adopted')),
    kind TEXT CHECK (kind IN ('native', 'loopback', 'remote')),
    handle TEXT,
    pds_endpoint TEXT,
    pds_did TEXT,
    rotation_key TEXT,
    app_password BLOB,
    subordinate_key BLOB,
    session BLOB,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX community_by_creator ON community (created_by);
  CREATE TABLE community_member (
    community TEXT NOT NULL REFERENCES community (did),
    subject TEXT NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('member', 'manager', 'admin', 'owner')),
    can_publish INTEGER NOT NULL,
    granted_by TEXT NOT NULL,
    granted_at INTEGER NOT NULL,
    PRIMARY KEY (community, subject)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX community_member_by_subject ON community_member (subject, community);
  CREATE TABLE community_invite (
    id TEXT PRIMARY KEY,
    community TEXT NOT NULL REFERENCES community (did),
    token_hash TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL,
    can_publish INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    created_by TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX community_invite_by_community ON community_invite (community, created_at, id);
  CREATE TABLE community_audit (
    id INTEGER PRIMARY KEY,
    community TEXT,
    attempt TEXT,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    at INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX community_audit_by_community ON community_audit (community, id) WHERE community IS NOT NULL;
  CREATE INDEX community_audit_by_attempt ON community_audit (attempt, id) WHERE attempt IS NOT NULL;
  CREATE INDEX community_audit_by_age ON community_audit (at);
  `,
  `
  CREATE TABLE community_oauth (
    community TEXT PRIMARY KEY REFERENCES community (did),
    session BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE community_consent (
    state_hash TEXT PRIMARY KEY,
    caller TEXT NOT NULL,
    did TEXT NOT NULL,
    purpose TEXT NOT NULL CHECK (purpose IN ('adopt', 'reauth')),
    secrets BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX community_consent_by_caller ON community_consent (caller, created_at);
  CREATE INDEX community_consent_by_end ON community_consent (expires_at);
  CREATE TABLE community_client_key (
    id TEXT PRIMARY KEY,
    private_key BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
  // Set while the account of a member is being deleted.
  "ALTER TABLE community_member ADD COLUMN leaving INTEGER NOT NULL DEFAULT 0",
];
