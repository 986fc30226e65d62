import { describe, expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import { askRelays, Documents, nextSeqAfter } from "./restore_network.ts";

const NOW = 1_700_000_000_000;

test("askRelays() tells of each what it says, or why it is not known", async () => {
  const asked: string[] = [];
  const answers: Record<string, () => number | undefined> = {
    ahead: () => 4_000_000_000_000_000,
    stranger: () => undefined,
    silent: () => {
      throw new KithError("timeout", "it took too long");
    },
    mad: () => 2 ** 60,
    negative: () => -1,
  };
  const relays = Object.keys(answers);
  const told = await askRelays({
    relays,
    seqOf: async (relay) => {
      asked.push(relay);
      return answers[relay]?.();
    },
  });
  expect(told).toEqual([
    { relay: "ahead", seq: 4_000_000_000_000_000 },
    { relay: "stranger" },
    { relay: "silent", problem: "it took too long" },
    { relay: "mad", problem: expect.stringContaining("no seq that could be continued") },
    { relay: "negative", problem: expect.stringContaining("no seq that could be continued") },
  ]);
  expect(asked.filter((relay) => relay === "silent")).toHaveLength(2);
});

describe("nextSeqAfter()", () => {
  const relay = (seq: number) => [{ relay: "r", seq }];
  test.each([
    ["the clock", { seqs: [5], relays: [], now: NOW }, NOW * 1000],
    ["the log", { seqs: [5, NOW * 1000 + 7], relays: [], now: NOW }, NOW * 1000 + 8],
    [
      "a relay, and what it may not have written down",
      { seqs: [5], relays: relay(NOW * 1000 + 7), now: NOW },
      NOW * 1000 + 1_000_008,
    ],
    ["not by a relay that knows nothing", { seqs: [5], relays: [{ relay: "r" }], now: 0 }, 6],
  ])("is above %s", (_what, seen, next) => {
    expect(nextSeqAfter(seen)).toBe(next);
  });
});

test("Documents asks nobody any more after five failures in a row", async () => {
  let asked = 0;
  const outcomes = ["silent", "silent", "unknown", "silent", "silent", "silent", "silent", "silent", "there"];
  const documents = new Documents(async () => {
    const outcome = outcomes[asked++];
    if (outcome === "silent") throw new KithError("timeout", "no answer");
    throw new KithError("did_not_found", "no such DID");
  });
  for (let n = 0; n < 8; n += 1) await documents.document("did:plc:a").catch(() => undefined);
  expect([asked, documents.problem]).toEqual([8, "no answer"]);
  expect(await documents.document("did:plc:a")).toBeUndefined();
  expect(asked).toBe(8);
});
