import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { actorPaths, locateReference, type ReferenceSettings } from "./locate.ts";

const ROWS: readonly {
  title: string;
  settings: ReferenceSettings;
  folders?: readonly string[];
  /** Below the folder, unless it begins with a slash; null: in a bucket. */
  stored: string | null;
  temporary?: string;
}[] = [
  { title: "the distribution's, without settings", settings: {}, folders: ["blocks"], stored: "blocks" },
  {
    title: "the distribution's, in its container",
    settings: { PDS_DATA_DIRECTORY: "/pds", PDS_BLOBSTORE_DISK_LOCATION: "/pds/blocks" },
    stored: "blocks",
  },
  {
    title: "blobs on a disk of their own",
    settings: { PDS_DATA_DIRECTORY: "/pds", PDS_BLOBSTORE_DISK_LOCATION: "/mnt/blobs" },
    stored: "/mnt/blobs",
  },
  {
    title: "uploads elsewhere",
    settings: {
      PDS_DATA_DIRECTORY: "/pds",
      PDS_BLOBSTORE_DISK_LOCATION: "/pds/b",
      PDS_BLOBSTORE_DISK_TMP_LOCATION: "/pds/up",
    },
    stored: "b",
    temporary: "up",
  },
  { title: "a bucket", settings: { PDS_BLOBSTORE_S3_BUCKET: "blobs" }, stored: null },
  {
    title: "a folder whose name begins alike",
    settings: { PDS_DATA_DIRECTORY: "/pds", PDS_BLOBSTORE_DISK_LOCATION: "/pds-blobs" },
    stored: "/pds-blobs",
  },
];

test.each(ROWS)("locateReference() finds $title", ({ settings, folders = [], stored, temporary }) => {
  const root = mkdtempSync(join(tmpdir(), "kith-locate-"));
  try {
    for (const name of ["actors", ...folders]) mkdirSync(join(root, name));
    for (const name of ["account.sqlite", "sequencer.sqlite"]) writeFileSync(join(root, name), "");
    const at = (path: string) => (path.startsWith("/") ? path : join(root, path));
    const { blobs, accounts } = locateReference(root, settings);
    expect(accounts).toBe(join(root, "account.sqlite"));
    expect(blobs?.stored ?? null).toBe(stored === null ? null : at(stored));
    if (stored !== null) expect(blobs?.temporary).toBe(at(temporary ?? join(stored, "tempt")));
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("locateReference() refuses a folder without blobs where nothing says where they are", () => {
  const root = mkdtempSync(join(tmpdir(), "kith-locate-"));
  try {
    mkdirSync(join(root, "actors"));
    for (const name of ["account.sqlite", "sequencer.sqlite"]) writeFileSync(join(root, name), "");
    expect(() => locateReference(root, {})).toThrow("nothing says where its blobs are");
    expect(() => locateReference(join(root, "account.sqlite"), {})).toThrow("it is not there, or no folder");
  } finally {
    rmSync(root, { recursive: true });
  }
});

test("actorPaths() names the folder by the hash of the DID", () => {
  // printf did:plc:abc | sha256sum
  expect(actorPaths("/a", "did:plc:abc").key).toMatch(/^\/a\/[0-9a-f]{2}\/did:plc:abc\/key$/);
});
