/**
 * A worker dies while many write: of an error that nobody caught, at once, or after its work and before it has said so. Without the maintenance
 * worker nothing more is certain, so the process ends and the next start decides; those of backups and drills fail what they were
 * asked, and nothing else. `KITH_TEST_WORKER_DEATHS` and `KITH_TEST_SEED` change the number of deaths and the moments.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupPlace } from "../backup_parts.ts";
import type { TestServer } from "../harness.ts";
import { waitFor, within } from "../wait.ts";
import { Scene } from "./scene.ts";
import { tally } from "./tally.ts";

const DEATHS = Number(process.env.KITH_TEST_WORKER_DEATHS ?? 6);
const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
/** EX_IOERR: what the server ends with where it cannot know what is on the disk. */
const EXIT_DISK_FAILED = 74;
/** The last message at which the maintenance worker dies, counted from the begin of the load; one start in so many meets it too. */
const MESSAGE_MAX = 40;
const DEATH_AT_START_EVERY = 3;
const START_MESSAGE_MAX = 6;
const LIMIT_MS = 3_600_000;

const HOWS = ["throw", "exit", "mute"] as const;
type How = (typeof HOWS)[number];
type Whose = "maintenance" | "backup" | "drill";

/** Orders a death, once at a time. */
class Deaths implements Disposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "kith-deaths-"));
  readonly #file = join(this.#folder, "order");
  #orders = 0;

  /** A server whose workers obey. */
  prepare(server: TestServer): void {
    server.set("KITH_TEST_WORKER_DEATH", this.#file);
  }

  order(whose: Whose, at: number, how: How): void {
    this.#orders += 1;
    writeFileSync(this.#file, `${whose} ${at} ${how} ${this.#orders}`);
    rmSync(`${this.#file}.done`, { force: true });
  }

  get isDone(): boolean {
    return existsSync(`${this.#file}.done`);
  }

  withdraw(): void {
    rmSync(this.#file, { force: true });
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

const deaths = new Deaths();
let place: BackupPlace;
let scene: Scene;

beforeAll(async () => {
  place = new BackupPlace();
  scene = await Scene.open({
    seed: SEED,
    writers: 3,
    command: [process.execPath, join(import.meta.dir, "mortal_workers_server.ts"), "serve"],
    prepare: (server) => {
      deaths.prepare(server);
      for (const [name, value] of Object.entries(
        place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1", KITH_BACKUP_DRILL_HOURS: "0" }),
      ))
        server.set(name, value);
    },
  });
}, LIMIT_MS);

afterAll(async () => {
  await scene[Symbol.asyncDispose]();
  deaths[Symbol.dispose]();
  place[Symbol.dispose]();
}, LIMIT_MS);

/** What the server has printed from here on. */
function listen(): () => string {
  const from = scene.server.output.length;
  return () => scene.server.output.slice(from);
}

async function maintenanceDies(number: number, how: How): Promise<void> {
  const { server, random } = scene;
  const said = listen();
  const creators = await scene.crash(`${number}`, async () => {
    deaths.order("maintenance", 1 + Math.floor(random() * MESSAGE_MAX), how);
    expect(await within("the server to end", server.exited(), 300_000)).toBe(EXIT_DISK_FAILED);
  });
  expect(said()).toContain(
    how === "throw" ? "The maintenance worker failed" : "The maintenance worker ended",
  );
  if (number % DEATH_AT_START_EVERY === 0) {
    deaths.order("maintenance", 1 + Math.floor(random() * START_MESSAGE_MAX), how);
    server.spawn();
    expect(await within("the start to end", server.exited(), 300_000)).toBe(EXIT_DISK_FAILED);
  }
  deaths.withdraw();
  await scene.recover(creators);
}

test(
  `the maintenance worker dies, ${DEATHS} times (seed ${SEED})`,
  async () => {
    for (let number = 1; number <= DEATHS; number += 1) {
      await maintenanceDies(number, HOWS[number % HOWS.length]!).catch((error: unknown) => {
        throw scene.explain(number, error);
      });
    }
    await scene.replay();
    tally("deaths of the maintenance worker", DEATHS, scene);
    expect(scene.answered).toBeGreaterThan(DEATHS);
  },
  LIMIT_MS,
);

const NOT_SHIPPED = "Could not ship the event log to the backup";

/** Commands of an operator, and the deaths that they meet: at a message that the worker takes, or at one that it says. */
const COMMANDS: readonly {
  whose: Whose;
  args: readonly string[];
  takes: number;
  says: number;
  logs: string;
}[] = [
  { whose: "backup", args: ["backup"], takes: 2, says: 24, logs: "The backup failed" },
  { whose: "drill", args: ["backup", "drill"], takes: 1, says: 12, logs: "could not be restored by a drill" },
];

for (const { whose, args, takes, says, logs } of COMMANDS) {
  const run = () => place.run(args, { folder: scene.server.folder });

  /** What it has made to read in peace: of databases, and the whole folder of a drill. */
  const copies = () =>
    readdirSync(join(scene.server.folder, "tmp")).filter((name) => /^\.?(backup-|drill)/.test(name));

  /** It dies at most once in a command; with a number beyond its last message it does not. */
  const once = async (at: number, how: How): Promise<boolean> => {
    const said = listen();
    const told = (words: string) => waitFor(`"${words}" in the log`, () => said().includes(words));
    deaths.order(whose, at, how);
    const ran = await within(`kith ${args.join(" ")}`, run(), 60_000);
    const died = deaths.isDone;
    deaths.withdraw();
    if (!died) return false;
    if (whose === "backup" && ran.code === 0) {
      // The shipping of the log, which has the same worker, met it before the command did.
      await told(NOT_SHIPPED);
    } else {
      expect({ at, how, ...ran }).toEqual({
        ...{ at, how, code: 1, out: expect.any(String) },
        err: expect.stringContaining(`The ${whose} worker ${how === "throw" ? "failed" : "ended"}`),
      });
      await told(logs);
    }
    const left = copies();
    // The next one is not held up by what the dead one has left behind, and removes it.
    const next = await within("the next one", run(), 60_000);
    expect({ at, how, code: next.code, err: next.err }).toMatchObject({ at, how, code: 0 });
    expect(copies().filter((name) => left.includes(name))).toEqual([]);
    // What goes on failing is told once: the next failure is to be one of its own.
    if (said().includes(NOT_SHIPPED)) await told("The event log is shipped again");
    return true;
  };

  test(
    `the ${whose} worker dies, while the server goes on (seed ${SEED})`,
    async () => {
      const { server, random } = scene;
      let died = 0;
      const trial = async (): Promise<void> => {
        await waitFor("the load", () => scene.answered > 0);
        expect((await place.run(["backup"], { folder: server.folder })).code).toBe(0);
        for (let number = 0; number < DEATHS; number += 1) {
          const how = HOWS[number % HOWS.length]!;
          const last = how === "mute" ? says : takes;
          if (await once(1 + Math.floor(random() * last), how)) died += 1;
        }
        const answered = scene.answered;
        await waitFor("the writes to go on", () => scene.answered > answered);
        expect(await server.stop()).toBe(0);
      };
      await scene.crash(whose, trial, { limitMs: LIMIT_MS });
      expect(died).toBeGreaterThan(DEATHS / 3);
      await place.assertWhole();
      await scene.recover();
      tally(`deaths of the ${whose} worker`, died, scene);
    },
    LIMIT_MS,
  );
}
