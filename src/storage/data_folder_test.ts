import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fixture } from "./_fixture.ts";
import { DataFolder, markFinished, unfinishedBy } from "./data_folder.ts";

test("DataFolder.open() makes folders of mode 0700 and is repeatable", async () => {
  await using fixture = new Fixture();
  const path = fixture.file("data");
  DataFolder.open(path).close();
  const folder = DataFolder.open(path);
  for (const each of [path, folder.repos, folder.blobs, folder.tmp]) {
    expect(statSync(each).mode & 0o777).toBe(0o700);
  }
  expect(statSync(join(path, "kith.lock")).mode & 0o777).toBe(0o600);
  expect(folder.hasAccounts()).toBe(false);
  folder.close();
});

test.each(["account.sqlite", "sequencer.sqlite", "actors"])(
  "DataFolder.open() refuses a folder with the reference's %s, and says the way out",
  async (name) => {
    await using fixture = new Fixture();
    if (name === "actors") mkdirSync(fixture.file(name));
    else writeFileSync(fixture.file(name), "");
    const attempt = () => DataFolder.open(fixture.path);
    expect(attempt).toThrow(name);
    expect(attempt).toThrow(
      expect.objectContaining({
        code: "data_folder_refused",
        hint: expect.stringContaining("kith import-reference"),
      }),
    );
  },
);

/** Another process that puts a folder together, until it is killed. */
const OTHER = `
  const { DataFolder } = await import(process.argv[1]);
  globalThis.held = DataFolder.open(process.argv[2], { isRestored: true });
  console.log("held");
  setInterval(() => {}, 1_000);`;

test("DataFolder.open() empties tmp, but for what another process puts together there", async () => {
  await using fixture = new Fixture();
  const path = fixture.file("data");
  DataFolder.open(path).close();
  const tmp = join(path, "tmp");
  const drill = join(tmp, "drill.restoring");
  const module = join(import.meta.dir, "data_folder.ts");
  const other = Bun.spawn([process.execPath, "-e", OTHER, module, drill], { stdout: "pipe" });
  try {
    await other.stdout.getReader().read();
    writeFileSync(join(tmp, "left"), "");
    DataFolder.open(path).close();
    expect(readdirSync(tmp)).toEqual(["drill.restoring"]);
    expect(existsSync(join(drill, "repos"))).toBe(true);
  } finally {
    other.kill();
    await other.exited;
  }
  DataFolder.open(path).close();
  expect(readdirSync(tmp)).toEqual([]);
});

test("DataFolder.open() refuses what it cannot write in", async () => {
  await using fixture = new Fixture();
  writeFileSync(fixture.file("file"), "");
  expect(() => DataFolder.open(fixture.file("file/data"))).toThrow(
    expect.objectContaining({ code: "data_folder_refused" }),
  );
});

test("DataFolder.open() says which of its folders is a file", async () => {
  await using fixture = new Fixture();
  writeFileSync(fixture.file("blobs"), "");
  const message = `Could not write in the data folder "${fixture.file("blobs")}": it is a file`;
  expect(() => DataFolder.open(fixture.path)).toThrow(message);
});

test("DataFolder.open() refuses a folder in use, naming folder and process, until that process is killed", async () => {
  await using fixture = new Fixture();
  const script = `
    const { DataFolder } = await import(${JSON.stringify(join(import.meta.dir, "data_folder.ts"))});
    DataFolder.open(${JSON.stringify(fixture.file("data"))});
    console.log("open");
    await new Promise(() => setInterval(() => {}, 1000));
  `;
  const other = Bun.spawn(["bun", "-e", script], { stdout: "pipe" });
  await other.stdout.getReader().read();
  const attempt = () => DataFolder.open(fixture.file("data"));
  expect(attempt).toThrow(`"${fixture.file("data")}": the process ${other.pid} is using it`);
  other.kill("SIGKILL");
  await other.exited;
  const folder = attempt();
  expect(attempt).toThrow("is using it");
  folder.close();
});

test("DataFolder.open() refuses accounts without the master key that they need, but for who puts them there", async () => {
  await using fixture = new Fixture();
  writeFileSync(fixture.file("accounts.sqlite"), "");
  expect(() => DataFolder.open(fixture.path)).toThrow('no "master.key"');
  DataFolder.open(fixture.path, { isRestored: true }).close();
  writeFileSync(fixture.file("master.key"), "");
  DataFolder.open(fixture.path).close();
});

test("DataFolder.open() refuses files of accounts without the accounts, but for who puts them there", async () => {
  await using fixture = new Fixture();
  mkdirSync(fixture.file("repos/ab"), { recursive: true });
  DataFolder.open(fixture.path).close();
  writeFileSync(fixture.file("repos/ab/did_plc_x.1.sqlite"), "");
  expect(() => DataFolder.open(fixture.path)).toThrow('"accounts.sqlite" is not there');
  DataFolder.open(fixture.path, { isRestored: true }).close();
  writeFileSync(fixture.file("master.key"), "");
  writeFileSync(fixture.file("accounts.sqlite"), "");
  expect(() => DataFolder.open(fixture.path)).toThrow('"accounts.sqlite" is empty');
  writeFileSync(fixture.file("accounts.sqlite"), "SQLite");
  const folder = DataFolder.open(fixture.path);
  expect(folder.hasRepos()).toBe(true);
  folder.close();
});

test("DataFolder.open() refuses a folder that is half-made by a command, but for that command, until it is finished", async () => {
  await using fixture = new Fixture();
  const path = fixture.file("data");
  const making = DataFolder.open(path, { madeBy: "kith import-reference" });
  making.close();
  expect(unfinishedBy(path)).toBe("kith import-reference");
  const attempt = () => DataFolder.open(path);
  expect(attempt).toThrow('half-made by "kith import-reference"');
  expect(attempt).toThrow(
    expect.objectContaining({ code: "data_folder_refused", hint: expect.stringContaining("again") }),
  );
  DataFolder.open(path, { madeBy: "kith import-reference" }).close();
  markFinished(path);
  expect(unfinishedBy(path)).toBeUndefined();
  attempt().close();
});

test("DataFolder.open() leaves a folder that others use, or have made whole, to them, also for a command that makes one", async () => {
  await using fixture = new Fixture();
  const path = fixture.file("data");
  const made = () => DataFolder.open(path, { madeBy: "kith import-reference" });
  const served = DataFolder.open(path);
  expect(made).toThrow("is using it");
  expect(unfinishedBy(path)).toBeUndefined();
  served.close();
  for (const name of ["master.key", "accounts.sqlite"]) writeFileSync(fixture.file(`data/${name}`), "SQLite");
  expect(made).toThrow("it has accounts, and is whole");
  expect(unfinishedBy(path)).toBeUndefined();
  DataFolder.open(path).close();
});
