import type { Migration } from "./migrations.ts";

/**
 * The schema of one account's file. CIDs are their 36 bytes.
 *
 * block.removed: 0, or the number of the commit (counted since the file was opened) that took the block out of the tree
 * while an export was open. A staged_ table holds the repo that an import brings, and takes the name of its twin when the
 * import is switched in (_repo_staging.ts): a later step changes both of a pair, and relies on no index by its name.
 * meta.blob_bytes is the sum of blob.size, which two triggers keep; a blob's size never changes.
 * pending_event.id rises with key, which is all the order that it needs. preference.name is the $type of its JSON value;
 * there may be several of one name, and they keep their order. meta.status is what holds, meta.owner_status what the owner
 * has made of the account, which holds again when a takedown is lifted. meta.handle and meta.signing_key (a did:key) are
 * null in files from before they were kept here: then the accounts store alone knows them. record.block is the id of the
 * block with record.cid, which stays as long as the record does: reading a page of records finds the blocks side by side,
 * and not by CIDs, which are all over the index.
 *
 * A pending_event with `effects` and a key above meta.settled is a commit of the tail (_repo_tail.ts): meta has its head,
 * and record, block and record_blob do not have it yet.
 */
export const REPO_MIGRATIONS: readonly Migration[] = [
  `
  CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    did TEXT,
    generation INTEGER,
    head BLOB,
    data BLOB,
    rev TEXT,
    status TEXT NOT NULL,
    last_tid TEXT
  );
  INSERT INTO meta (id, status) VALUES (1, 'active');
  CREATE TABLE block (
    id INTEGER PRIMARY KEY,
    cid BLOB NOT NULL UNIQUE,
    rev TEXT NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0,
    bytes BLOB NOT NULL
  );
  CREATE INDEX block_removed ON block (removed) WHERE removed <> 0;
  CREATE TABLE record (
    collection TEXT NOT NULL,
    rkey TEXT NOT NULL,
    cid BLOB NOT NULL,
    rev TEXT NOT NULL,
    subject TEXT,
    PRIMARY KEY (collection, rkey)
  ) WITHOUT ROWID;
  CREATE INDEX record_cid ON record (cid);
  CREATE INDEX record_subject ON record (collection, subject) WHERE subject IS NOT NULL;
  CREATE TABLE pending_event (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    before BLOB NOT NULL,
    after BLOB NOT NULL
  );
  CREATE TABLE blob (
    cid BLOB PRIMARY KEY,
    mime_type TEXT NOT NULL,
    size INTEGER NOT NULL,
    created_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE TABLE record_blob (
    collection TEXT NOT NULL,
    rkey TEXT NOT NULL,
    cid BLOB NOT NULL,
    PRIMARY KEY (collection, rkey, cid)
  ) WITHOUT ROWID;
  CREATE INDEX record_blob_cid ON record_blob (cid);
  `,
  `
  CREATE TABLE staged_block (
    id INTEGER PRIMARY KEY,
    cid BLOB NOT NULL UNIQUE,
    rev TEXT NOT NULL,
    removed INTEGER NOT NULL DEFAULT 0,
    bytes BLOB NOT NULL
  );
  CREATE INDEX staged_block_removed ON staged_block (removed) WHERE removed <> 0;
  CREATE TABLE staged_record (
    collection TEXT NOT NULL,
    rkey TEXT NOT NULL,
    cid BLOB NOT NULL,
    rev TEXT NOT NULL,
    subject TEXT,
    PRIMARY KEY (collection, rkey)
  ) WITHOUT ROWID;
  CREATE INDEX staged_record_cid ON staged_record (cid);
  CREATE INDEX staged_record_subject ON staged_record (collection, subject) WHERE subject IS NOT NULL;
  CREATE TABLE staged_record_blob (
    collection TEXT NOT NULL,
    rkey TEXT NOT NULL,
    cid BLOB NOT NULL,
    PRIMARY KEY (collection, rkey, cid)
  ) WITHOUT ROWID;
  CREATE INDEX staged_record_blob_cid ON staged_record_blob (cid);
  `,
  `
  CREATE TABLE preference (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    value TEXT NOT NULL
  );
  `,
  `
  CREATE INDEX record_rev ON record (rev);
  CREATE INDEX staged_record_rev ON staged_record (rev);
  `,
  `
  ALTER TABLE meta ADD COLUMN blob_bytes INTEGER NOT NULL DEFAULT 0;
  UPDATE meta SET blob_bytes = (SELECT coalesce(sum(size), 0) FROM blob);
  CREATE TRIGGER blob_added AFTER INSERT ON blob BEGIN
    UPDATE meta SET blob_bytes = blob_bytes + NEW.size;
  END;
  CREATE TRIGGER blob_removed AFTER DELETE ON blob BEGIN
    UPDATE meta SET blob_bytes = blob_bytes - OLD.size;
  END;
  `,
  `
  ALTER TABLE meta ADD COLUMN owner_status TEXT NOT NULL DEFAULT 'active';
  ALTER TABLE meta ADD COLUMN takedown_ref TEXT;
  UPDATE meta SET owner_status = 'deactivated' WHERE status = 'deactivated';
  CREATE TABLE record_takedown (
    collection TEXT NOT NULL,
    rkey TEXT NOT NULL,
    cid TEXT NOT NULL,
    ref TEXT NOT NULL,
    PRIMARY KEY (collection, rkey)
  ) WITHOUT ROWID;
  CREATE TABLE blob_takedown (
    cid BLOB PRIMARY KEY,
    ref TEXT NOT NULL
  ) WITHOUT ROWID;
  `,
  `
  ALTER TABLE meta ADD COLUMN handle TEXT;
  ALTER TABLE meta ADD COLUMN signing_key TEXT;
  `,
  `
  ALTER TABLE pending_event ADD COLUMN effects BLOB;
  ALTER TABLE meta ADD COLUMN settled TEXT NOT NULL DEFAULT '';
  `,
  `
  ALTER TABLE record ADD COLUMN block INTEGER;
  UPDATE record SET block = (SELECT id FROM block WHERE block.cid = record.cid);
  ALTER TABLE staged_record ADD COLUMN block INTEGER;
  `,
];
