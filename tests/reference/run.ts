/** One script played on both servers: each answer is compared as it comes, the events of all calls at the end. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { waitFor } from "../wait.ts";
import { compareAnswers, Pairing } from "./compare.ts";
import { Differences } from "./differences.ts";
import { type Case, Pair } from "./oracle.ts";
import { compareEvents, eventsByMark, Roots } from "./oracle_events.ts";

export type Part = readonly [part: string, cases: readonly Case[]];

/** Reads and what is like them cause no events, so that none need be told apart. */
const IS_READ = /\.(?:get|list|describe|resolve|check)[A-Z]/;

/** What a run has come to; read it in tests after the script. */
export interface Outcome {
  readonly pair: Pair;
  readonly differences: Differences;
  calls: number;
  /** How many commits of both left the same records behind, whose roots were then held against each other. */
  roots: number;
}

/** Declares one test a case, in order, and one for the events of them all. */
export function playScript(script: readonly Part[]): { readonly outcome: Outcome } {
  const pairing = new Pairing();
  /** What was called before each marker. */
  const marked = new Map<number, Case>();
  let outcome: Outcome | undefined;
  const now = (): Outcome => {
    if (!outcome) throw new Error("The servers have not started");
    return outcome;
  };

  beforeAll(async () => {
    const pair = await Pair.start();
    outcome = { pair, differences: new Differences(), calls: 0, roots: 0 };
  });
  afterAll(async () => {
    await outcome?.pair[Symbol.asyncDispose]();
  });

  for (const [part, cases] of script) {
    describe(part, () => {
      for (const one of cases) test(`${one.to}: ${one.title}`, () => play(one));
    });
  }

  async function play(one: Case): Promise<void> {
    const { pair, differences } = now();
    now().calls += 1;
    const [reference, kith] = await pair.both(async (side) => {
      const answer = await side.send(one.to, (await one.call?.(side)) ?? {});
      one.keep?.(answer, side);
      return answer;
    });
    const isWrite = [reference, kith].some(({ status }) => status === 200) && !IS_READ.test(one.to);
    if (isWrite && pair.reference.members.has("marker")) marked.set(await pair.mark(), one);
    const lines = await compareAnswers(pairing, reference, kith);
    const unexplained = differences.unexplained(one, lines);
    if (unexplained.length > 0) unexplained.push(`said: ${reference.json.message} → ${kith.json.message}`);
    expect(unexplained).toEqual([]);
    if (one.status !== undefined) expect([reference.status, kith.status]).toEqual([one.status, one.status]);
  }

  test("the firehoses tell the same of every call, and repos of equal records have equal roots", async () => {
    const { pair, differences } = now();
    const last = await pair.mark();
    const [reference, kith] = await pair.both(async (side) => {
      await waitFor(`the last marker on the firehose of ${side.name}`, () => eventsByMark(side).has(last));
      side.firehose.assertClean();
      return eventsByMark(side);
    });
    const roots = new Roots();
    const unexplained: string[] = [];
    for (const [mark, one] of marked) {
      const events = [reference.get(mark) ?? [], kith.get(mark) ?? []] as const;
      const lines = differences.unexplained(one, await compareEvents({ pairing, roots }, events));
      unexplained.push(...lines.map((line) => `${one.to}: ${one.title}: ${line}`));
    }
    now().roots = roots.compared;
    expect(unexplained).toEqual([]);
  });

  return {
    get outcome() {
      return now();
    },
  };
}
