import { expect, test } from "bun:test";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BackupFixture } from "./_fixture.ts";
import { BackupError } from "./backup_error.ts";
import { Repository, WRITER_FILE } from "./repository.ts";
import { inheritTurn, KnownTurns, TURNS_FILE, WriterClaim } from "./writer_claim.ts";

class Folders extends BackupFixture {
  /** A data folder that knows nothing yet. */
  make(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path);
    return path;
  }

  copy(from: string, name: string): string {
    const path = join(this.path, name);
    cpSync(from, path, { recursive: true });
    return path;
  }

  take(repository: Repository, folder: string, takesOver = false): Promise<WriterClaim> {
    const known = new KnownTurns(folder);
    return WriterClaim.take(repository, { known, host: folder, now: () => 0, takesOver });
  }
}

const refused = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => "taken",
    (error: unknown) => (error instanceof BackupError ? error.problem : error),
  );

test("take() goes on after its own, again and again, and refuses a folder that knows nothing", async () => {
  using fixture = new Folders();
  const repository = await fixture.create();
  const own = fixture.make("own");
  const first = await fixture.take(repository, own);
  const second = await fixture.take(repository, own);
  await second.assertHeld(repository);
  expect(await refused(first.assertHeld(repository))).toBe("other_writer");
  expect(await refused(fixture.take(repository, fixture.make("fresh")))).toBe("other_writer");
  await second.assertHeld(repository);
});

test("take() tells a copy of a folder from the one that goes on", async () => {
  using fixture = new Folders();
  const repository = await fixture.create();
  const own = fixture.make("own");
  await fixture.take(repository, own);
  const copy = fixture.copy(own, "copy");
  const claim = await fixture.take(repository, own);
  expect(await refused(fixture.take(repository, copy))).toBe("other_writer");
  await claim.assertHeld(repository);
  // Where the copy is the first to go on, as after a move to another machine, the original is refused.
  const moved = fixture.copy(own, "moved");
  await fixture.take(repository, moved);
  expect(await refused(claim.assertHeld(repository))).toBe("other_writer");
  expect(await refused(fixture.take(repository, own))).toBe("other_writer");
});

test("inheritTurn() lets a restored folder take over once, and the one of before is refused", async () => {
  using fixture = new Folders();
  const repository = await fixture.create();
  const [old, restored] = [fixture.make("old"), fixture.make("restored")];
  const before = await fixture.take(repository, old);
  await inheritTurn(repository, restored);
  // Until the restored one begins, the old one may go on, also by a start.
  await before.assertHeld(repository);
  await inheritTurn(repository, restored);
  const after = await fixture.take(repository, restored);
  expect(await refused(before.assertHeld(repository))).toBe("other_writer");
  expect(await refused(fixture.take(repository, old))).toBe("other_writer");
  await after.assertHeld(repository);
  await fixture.take(repository, restored);
});

test("take() is told to take over", async () => {
  using fixture = new Folders();
  const repository = await fixture.create();
  const [one, other] = [fixture.make("one"), fixture.make("other")];
  const before = await fixture.take(repository, one);
  await fixture.take(repository, other, true);
  expect(await refused(before.assertHeld(repository))).toBe("other_writer");
  await fixture.take(repository, other);
  expect(await refused(fixture.take(repository, one))).toBe("other_writer");
  // Also where nobody can say any more who it was.
  writeFileSync(fixture.file(WRITER_FILE), "garbage that is long enough to be told from a truncated file");
  expect(await refused(fixture.take(repository, other))).toBe("altered");
  await fixture.take(repository, other, true);
});

test("take() goes on where it was cut off between the folder and the destination, on either side", async () => {
  using fixture = new Folders();
  const repository = await fixture.create();
  const own = fixture.make("own");
  await fixture.take(repository, own);
  const put = repository.destination.put.bind(repository.destination);
  repository.destination.put = async () => {
    throw new Error("cut off");
  };
  expect(await refused(fixture.take(repository, own))).toEqual(new Error("cut off"));
  repository.destination.put = async (name, bytes) => {
    await put(name, bytes);
    throw new Error("cut off");
  };
  expect(await refused(fixture.take(repository, own))).toEqual(new Error("cut off"));
  repository.destination.put = put;
  await fixture.take(repository, own);
});

test("take() knows an older turn of its own again: a destination that was put back, a write that came late", async () => {
  using fixture = new Folders();
  const repository = await fixture.create();
  const own = fixture.make("own");
  await fixture.take(repository, own);
  const old = readFileSync(fixture.file(WRITER_FILE));
  const copy = fixture.copy(own, "copy");
  for (let i = 0; i < 5; i++) await fixture.take(repository, own);
  expect(await refused(fixture.take(repository, copy))).toBe("other_writer");
  writeFileSync(fixture.file(WRITER_FILE), old);
  await fixture.take(repository, own);
  // However often it begins, the list stays short.
  for (let i = 0; i < 20; i++) await fixture.take(repository, own);
  expect(new KnownTurns(own).of(repository.identity.id).length).toBe(16);
  expect(await refused(fixture.take(repository, copy))).toBe("other_writer");
});

test("of two that begin at once one stays, and the other is refused before it makes anything visible", async () => {
  using fixture = new Folders();
  const repository = await fixture.create();
  const folders = [fixture.make("one"), fixture.make("other")];
  const taken = await Promise.allSettled(folders.map((folder) => fixture.take(repository, folder)));
  let held = 0;
  for (const result of taken) {
    if (result.status === "rejected") continue;
    if ((await refused(result.value.assertHeld(repository))) === "taken") held += 1;
  }
  expect(held).toBe(1);
});

test("a guarded repository makes nothing visible for who has lost his turn", async () => {
  using fixture = new Folders();
  const repository = await fixture.create();
  const [one, other] = [fixture.make("one"), fixture.make("other")];
  const claim = await fixture.take(repository, one);
  repository.guardBy(() => claim.assertHeld(repository));
  const segment = { after: 0, last: 1, shippedAt: "", events: [] };
  await repository.putSegment(segment);
  const theirs = await Repository.open(fixture.destination, fixture.key);
  await fixture.take(theirs, other, true);
  expect(await refused(repository.putSegment({ ...segment, after: 1, last: 2 }))).toBe("other_writer");
  expect(await refused(repository.assertWriter())).toBe("other_writer");
  expect((await repository.segments()).length).toBe(1);
});

test("KnownTurns keeps the turns of several backups, and forgets what cannot be read", () => {
  using fixture = new Folders();
  const folder = fixture.make("own");
  const known = new KnownTurns(folder);
  expect(known.of("a")).toEqual([]);
  known.set("a", ["1", "2"]);
  known.set("b", ["3"]);
  known.set("a", ["2"]);
  expect([known.of("a"), known.of("b"), new KnownTurns(folder).of("b")]).toEqual([["2"], ["3"], ["3"]]);
  writeFileSync(join(folder, TURNS_FILE), "{");
  expect(known.of("a")).toEqual([]);
});
