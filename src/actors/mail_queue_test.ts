import { expect, test } from "bun:test";
import { createActor, fromPromise, initialTransition, SimulatedClock, transition } from "xstate";
import { KithError } from "../errors.ts";
import type { Mail } from "../mailer/mod.ts";
import { until } from "./_fake_log.ts";
import {
  MAIL_RETRY_MS,
  MAIL_RETRY_MS_MAX,
  MAIL_ROUND_MAX,
  MailQueue,
  type MailQueueEvent,
  type MailRows,
  mailQueueMachine,
  ROUND_RETRY_MS,
} from "./mail_queue.ts";

const done = (waitMs: number | undefined) =>
  ({
    type: "xstate.done.actor.deliver",
    output: { waitMs },
    actorId: "deliver",
  }) as unknown as MailQueueEvent;
const failed = { type: "xstate.error.actor.deliver", error: new Error("no"), actorId: "deliver" };

function run(...events: unknown[]) {
  let [snapshot] = initialTransition(mailQueueMachine);
  for (const event of events) [snapshot] = transition(mailQueueMachine, snapshot, event as MailQueueEvent);
  return snapshot;
}

test("mailQueueMachine looks at once for what a run before has left, and rests when nothing waits", () => {
  expect(run().value).toBe("delivering");
  expect(run(done(undefined)).value).toBe("idle");
  expect(run(done(undefined), { type: "mail" }).value).toBe("delivering");
});

test("mailQueueMachine goes on with what came during a round", () => {
  const snapshot = run({ type: "mail" }, done(undefined));
  expect([snapshot.value, snapshot.context.moreCame]).toEqual(["delivering", false]);
});

test("mailQueueMachine waits for the next turn, new mail does not", () => {
  const waiting = run(done(500));
  expect([waiting.value, waiting.context.waitMs]).toEqual(["waiting", 500]);
  expect(run(done(500), { type: "mail" }).value).toBe("delivering");
  expect(run(failed).context.waitMs).toBe(ROUND_RETRY_MS);
});

test("mailQueueMachine wakes up in time", async () => {
  const clock = new SimulatedClock();
  let rounds = 0;
  const deliver = fromPromise(async () => ({ waitMs: ++rounds === 1 ? 500 : undefined }));
  const actor = createActor(mailQueueMachine.provide({ actors: { deliver } }), { clock }).start();
  await until(() => actor.getSnapshot().value === "waiting");
  clock.increment(499);
  expect(rounds).toBe(1);
  clock.increment(1);
  await until(() => actor.getSnapshot().value === "idle");
  expect(rounds).toBe(2);
});

type FakeRow = ReturnType<MailRows["due"]>[number] & { nextAt: number };

class FakeRows implements MailRows {
  rows: FakeRow[] = [];
  broken = false;
  async add(mail: Mail, { now, expiresAt }: { now: number; expiresAt: number }): Promise<void> {
    this.rows.push({ id: String(this.rows.length), mail, attempts: 0, expiresAt, nextAt: now });
  }
  due(now: number, limit: number) {
    if (this.broken) throw new KithError("storage_damaged", "no");
    return this.rows.filter((row) => row.nextAt <= now).slice(0, limit);
  }
  nextAt(): number | undefined {
    return this.rows.length === 0 ? undefined : Math.min(...this.rows.map(({ nextAt }) => nextAt));
  }
  async putOff(id: string, { nextAt }: { nextAt: number }): Promise<void> {
    this.rows = this.rows.map((row) =>
      row.id === id ? { ...row, attempts: row.attempts + 1, nextAt } : row,
    );
  }
  async remove(id: string): Promise<void> {
    this.rows = this.rows.filter((row) => row.id !== id);
  }
}

const NOW = 1_000_000;
const mailTo = (to: string): Mail => ({ to, subject: "s", text: "t" });

function makeQueue({ left = [] as Partial<FakeRow>[] } = {}) {
  const rows = new FakeRows();
  rows.rows = left.map((row, at) => {
    return { id: `left ${at}`, mail: mailTo("left"), attempts: 0, expiresAt: NOW + 1, nextAt: NOW, ...row };
  });
  const sent: string[] = [];
  const warnings: string[] = [];
  const say = (message: string) => void warnings.push(message);
  const logger = {
    trace() {},
    debug() {},
    info() {},
    warn: say,
    error: say,
    fatal() {},
    child: () => logger,
  };
  const fake = { failure: undefined as KithError | undefined, hold: Promise.resolve() };
  const queue = new MailQueue({
    rows,
    logger: logger as never,
    now: () => NOW,
    mailer: {
      send: async ({ to }) => {
        await fake.hold;
        if (fake.failure) throw fake.failure;
        sent.push(to);
      },
    },
  });
  return { queue, rows, sent, warnings, fake };
}

test("MailQueue.enqueue() keeps the message until it is handed over", async () => {
  const { queue, rows, sent, fake } = makeQueue();
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.hold = promise;
  await queue.enqueue(mailTo("alice"), { expiresAt: NOW + 1 });
  await queue.enqueue(mailTo("bob"), { expiresAt: NOW + 1 });
  expect(rows.rows).toHaveLength(2);
  resolve();
  await until(() => rows.rows.length === 0);
  expect(sent).toEqual(["alice", "bob"]);
  await queue.stop();
});

test("MailQueue sends at the start what is left, whatever its turn, and more than one round of it", async () => {
  const left = Array.from({ length: MAIL_ROUND_MAX + 1 }, () => ({}));
  const { rows, sent, queue } = makeQueue({ left: [{ nextAt: NOW + 5_000 }, ...left] });
  await until(() => rows.rows.length === 0);
  expect(sent).toHaveLength(MAIL_ROUND_MAX + 2);
  await queue.stop();
});

test("MailQueue puts off what could not be sent, longer each time, and no longer than the bound", async () => {
  const failure = new KithError("upstream_failure", "no");
  for (const [attempts, waitMs] of [
    [0, MAIL_RETRY_MS],
    [3, 8 * MAIL_RETRY_MS],
    [1_000, MAIL_RETRY_MS_MAX],
  ] as const) {
    const { rows, fake, queue } = makeQueue({ left: [{ attempts }] });
    fake.failure = failure;
    await until(() => rows.rows[0]?.attempts === attempts + 1);
    expect(rows.rows[0]?.nextAt).toBe(NOW + waitMs);
    await queue.stop();
  }
});

test("MailQueue drops what is refused for good, too old, or cannot be opened, and says so", async () => {
  const refused = makeQueue();
  refused.fake.failure = new KithError("invalid_request", "no such mailbox");
  await refused.queue.enqueue(mailTo("nobody"), { expiresAt: NOW + 1 });
  await until(() => refused.rows.rows.length === 0);
  const old = makeQueue({ left: [{ expiresAt: NOW }, { mail: undefined }] });
  await until(() => old.rows.rows.length === 0);
  expect([refused.warnings.length, old.warnings.length, old.sent.length]).toEqual([1, 2, 0]);
  await Promise.all([refused.queue.stop(), old.queue.stop()]);
});

test("MailQueue goes on after its store has failed", async () => {
  const { queue, rows, sent, warnings } = makeQueue();
  rows.broken = true;
  await queue.enqueue(mailTo("alice"), { expiresAt: NOW + 1 });
  await until(() => warnings.length > 0);
  rows.broken = false;
  await queue.enqueue(mailTo("bob"), { expiresAt: NOW + 1 });
  await until(() => sent.length === 2);
  await queue.stop();
});

test("MailQueue.stop() awaits the message on its way and begins no other", async () => {
  const { queue, rows, sent, fake } = makeQueue();
  const { promise, resolve } = Promise.withResolvers<void>();
  fake.hold = promise;
  await queue.enqueue(mailTo("alice"), { expiresAt: NOW + 1 });
  await queue.enqueue(mailTo("bob"), { expiresAt: NOW + 1 });
  await until(() => rows.rows.length === 2);
  const stopped = queue.stop();
  resolve();
  await stopped;
  expect(sent.length).toBeLessThanOrEqual(1);
  expect(rows.rows.length + sent.length).toBe(2);
});
