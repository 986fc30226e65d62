/** What `kith import-reference` does where its look over what it has written finds a fault. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createTakeoverDisplay } from "../../src/cli/_takeover_display.ts";
import type { Io } from "../../src/cli/command.ts";
import { folderCheck } from "../../src/folder_check.ts";
import { createLogger } from "../../src/logger.ts";
import {
  folderSource,
  locateReference,
  planTakeover,
  Reference,
  Target,
  takeOver,
} from "../../src/takeover/mod.ts";
import { createAccount, createRecord, newPicture, post } from "../client.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";
import { postPicture } from "../takeover.ts";

setDefaultTimeout(120_000);

/** The only file below a folder whose name ends so. */
function fileIn(folder: string, end: string): string {
  const found = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(end),
  );
  if (found.length !== 1) throw new Error(`${found.length} files of "${folder}" end with "${end}"`);
  return join(folder, found[0] ?? "");
}

describe("a takeover that is verified", () => {
  const work = mkdtempSync(join(tmpdir(), "kith-takeover-verified-"));
  let plc: PlcDirectory;
  let reference: ReferencePds;
  let [did, blob] = ["", ""];

  beforeAll(async () => {
    mkdirSync(join(work, "pds"));
    plc = await PlcDirectory.start();
    reference = await ReferencePds.start({ plc, folder: join(work, "pds") });
    const ann = await createAccount(reference.url, "ann", plc);
    await createRecord(reference.url, ann, { record: post("of ann") });
    ({ blob } = await postPicture(reference.url, ann, newPicture(5_000)));
    did = ann.did;
    await reference.stop();
  }, 120_000);
  afterAll(async () => {
    await reference?.[Symbol.asyncDispose]();
    await plc?.[Symbol.asyncDispose]();
    rmSync(work, { recursive: true, force: true });
  });

  /** Takes everything over; the folder is damaged when all has been written, before it is looked at. */
  async function taken(name: string, damage: (folder: string) => void) {
    const folder = join(work, name);
    const said: string[] = [];
    const io = { err: (text: string) => said.push(text), out: () => {} } as unknown as Io;
    const blobFolder = join(folder, "blobs");
    const paths = locateReference(reference.folder, {});
    if (!paths.blobs) throw new Error("The reference has no folder of blobs");
    await using source = await Reference.open(paths);
    const now = Date.now;
    const plan = await planTakeover({
      ...{ reference: source, identities: undefined, publicUrl: reference.url, now: now() },
      rotationKey: undefined,
    });
    const log = createLogger({ enabled: false });
    await using target = await Target.open({ folder, blobFolder, blobBucket: undefined, log });
    const look = folderCheck({ blobFolder: () => blobFolder });
    const done = takeOver({
      ...{ reference: source, plan, target, now, keepsSessions: true },
      ...{ leaveOut: new Set<string>(), backfillMs: 86_400_000, uploadLifetimeMs: 3_600_000 },
      blobs: folderSource(paths.blobs),
      progress: createTakeoverDisplay(io, { json: false }).progress,
      check: async (request) => {
        damage(folder);
        return await look(request);
      },
    });
    const result = await done.then(
      ({ check }) => check,
      (error: Error) => error.message,
    );
    return { result, said: said.join("") };
  }

  test("is sound where nothing happened to it", async () => {
    const { result, said } = await taken("sound", () => {});
    expect(result).toMatchObject({ harms: 0, mendable: 0, problems: 0, repos: 1, blobs: 1, findings: [] });
    expect(said).toContain("Verified: 1 accounts\n");
  });

  test("tells of what can be mended", async () => {
    const { result, said } = await taken("mendable", (folder) => {
      const file = fileIn(join(folder, "blobs"), blob);
      writeFileSync(file, readFileSync(file).fill(7));
    });
    expect(result).toMatchObject({ harms: 1, mendable: 1, findings: [{ code: "blob_damaged", did }] });
    expect(said).toContain("Verified: 1 accounts, 1 faults");
    expect(said).toMatch(/PROBLEM: ann\.test \(did:plc:\w+\)[\s\S]*"kith verify --repair"/);
  });

  test("is refused where anything cannot be mended", async () => {
    const { result, said } = await taken("lost", (folder) => {
      truncateSync(fileIn(join(folder, "repos"), ".sqlite"), 8_192);
    });
    expect(result).toContain("faults that cannot be mended");
    expect(said).toContain("repo_damaged");
  });
});
