import { expect, spyOn, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cidOfRaw, cidToString } from "../atproto/mod.ts";
import { KeptFiles } from "./kept_files.ts";

const DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";

test("KeptFiles.keepBlob() keeps all of a blob, also where the disk takes a write by halves", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-kept-"));
  const handle = await open(folder);
  const write = Object.getPrototypeOf(handle).write as FileHandle["write"];
  await handle.close();
  const halves = spyOn(Object.getPrototypeOf(handle), "write").mockImplementation(function (
    this: FileHandle,
    bytes: Uint8Array,
    at = 0,
    length = bytes.length - at,
  ) {
    return Reflect.apply(write, this, [bytes, at, Math.ceil(length / 2)]);
  } as never);
  try {
    const bytes = Buffer.from("all of the bytes of a blob");
    const cid = cidOfRaw(bytes);
    const kept = new KeptFiles(folder, "now");
    const blobs = {
      open: async () => ({ size: bytes.length, stream: async () => new Blob([bytes]).stream() }),
    };
    expect(await kept.keepBlob(blobs, { did: DID, cid, quarantined: false })).toBe(true);
    const path = join(kept.folder, "blobs", DID.replaceAll(":", "_"), cidToString(cid));
    expect(readFileSync(path, "utf8")).toBe(bytes.toString());
  } finally {
    halves.mockRestore();
    rmSync(folder, { recursive: true });
  }
});
