/**
 * Rule 2: in steady state no fsync runs on the event loop's thread. Proven by strace where it is installed; elsewhere
 * the tests of maintenance.ts stand alone, which look at the header of the WAL.
 */
import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fixture } from "./_fixture.ts";

const SCENARIO = `
  const { accessSync, mkdirSync } = await import("node:fs");
  const { RepoFiles, Maintenance } = await import(MODULE);
  const mark = (name) => { try { accessSync("/kith-mark-" + name); } catch {} };
  const onFatal = (error) => { console.error(error); process.exit(1); };
  const maintenance = Maintenance.start({ onFatal });
  const files = new RepoFiles({ folder: FOLDER, maintenance, onFatal });
  mark("begin");
  await files.create("did:plc:a", 1);
  let store = await files.open("did:plc:a", 1);
  store.state();
  mark("read-only-open");
  await store.prepareWrites();
  let tid = 0;
  const event = () => { const key = "3" + String(tid++).padStart(12, "a"); return { key, kind: "sync", before: new Uint8Array(60000), after: new Uint8Array(9) }; };
  const write = () => { const e = event(); store.appendEvents({ lastTid: e.key, events: [e] }); };
  for (let round = 0; round < 6; round++) {
    for (let i = 0; i < 20; i++) { write(); if (i % 5 === 0) await store.durable(); }
    const passive = store.checkpoint("passive");
    for (let i = 0; round % 2 === 0 && i < 30; i++) { write(); await new Promise(setImmediate); }
    await passive;
    write();
    if (round === 3) { await store.checkpoint("restart"); write(); }
  }
  store.forgetPending("4");
  await store.durable();
  await store.close();
  store = await files.open("did:plc:a", 1);
  await store.close();
  await files.remove("did:plc:a", 1);
  mark("end");
  await maintenance.stop();
`;

interface Call {
  thread: string;
  text: string;
}

function callsOf(trace: string): Call[] {
  return trace.split("\n").flatMap((line) => {
    const match = /^(\d+)\s+(.*)$/.exec(line);
    return match ? [{ thread: match[1] ?? "", text: match[2] ?? "" }] : [];
  });
}

test("storage makes no fsync on the event loop: create, open, write, checkpoint, close, remove", async () => {
  if (!Bun.which("strace")) return console.log("strace is not installed: fsyncs are not traced here");
  await using folder = new Fixture();
  const header = `const MODULE = ${JSON.stringify(join(import.meta.dir, "mod.ts"))}; const FOLDER = ${JSON.stringify(folder.path)};`;
  writeFileSync(folder.file("scenario.ts"), header + SCENARIO);
  const trace = folder.file("trace");
  const command = ["strace", "-f", "-o", trace, "-e", "trace=fsync,fdatasync,access,faccessat,faccessat2"];
  const run = Bun.spawnSync([...command, "bun", folder.file("scenario.ts")], { stderr: "pipe" });
  expect([run.stderr.toString(), run.exitCode]).toEqual(["", 0]);
  const calls = callsOf(readFileSync(trace, "utf8"));
  const main = calls.find((call) => call.text.includes("kith-mark-begin"))?.thread;
  const from = calls.findIndex((call) => call.text.includes("kith-mark-begin"));
  const opened = calls.findIndex((call) => call.text.includes("kith-mark-read-only-open"));
  const end = calls.findIndex((call) => call.text.includes("kith-mark-end"));
  expect(from).toBeGreaterThan(-1);
  expect(end).toBeGreaterThan(opened);
  const syncs = calls.slice(from, end).filter((call) => /^f(data)?sync\(/.test(call.text));
  expect(syncs.length).toBeGreaterThan(20);
  expect(syncs.filter((call) => call.thread === main)).toEqual([]);
});
