/** Requests by a bounded number of connections, and the size that these tests run at. */
import { type Account, PASSWORD, xrpc } from "../client.ts";

/** 1 is the size that the acceptance of the project names; a smaller number is quicker. */
export const SCALE = Number(process.env.KITH_TEST_SCALE ?? 1);

/** A count at the present scale, at least 1. */
export function scaled(count: number): number {
  return Math.max(1, Math.round(count * SCALE));
}

/** Runs the jobs with `connections` at a time; the first failure ends it. Results in the order of the jobs. */
export async function inParallel<T>(connections: number, jobs: readonly (() => Promise<T>)[]): Promise<T[]> {
  const results: T[] = [];
  let next = 0;
  const lane = async () => {
    while (next < jobs.length) {
      const index = next;
      next += 1;
      results[index] = await jobs[index]!();
    }
  };
  await Promise.all(Array.from({ length: connections }, lane));
  return results;
}

export type Signed = Pick<Account, "did" | "accessJwt" | "handle">;

/** Creates accounts by bare requests; throws on any answer but 200. */
export async function signUp(server: string, name: string): Promise<Signed> {
  const body = { handle: `${name}.test`, email: `${name}@example.com`, password: PASSWORD };
  const answer = await xrpc(server, "com.atproto.server.createAccount", { body });
  if (answer.status !== 200)
    throw new Error(`createAccount "${name}" answers ${answer.status} ${JSON.stringify(answer.json)}`);
  return answer.json as unknown as Signed;
}

/** One applyWrites of creates; throws on any answer but 200. */
export async function applyCreates(
  server: string,
  account: Signed,
  records: readonly Record<string, unknown>[],
): Promise<void> {
  const writes = records.map((value) => ({
    $type: "com.atproto.repo.applyWrites#create",
    collection: value.$type,
    value,
  }));
  const answer = await xrpc(server, "com.atproto.repo.applyWrites", {
    token: account.accessJwt,
    body: { repo: account.did, writes },
  });
  if (answer.status !== 200)
    throw new Error(`applyWrites answers ${answer.status} ${JSON.stringify(answer.json)}`);
}

/** The collection that fillRepo() writes. */
export const BULK = "dev.kith.test.bulk";
const WRITES_PER_COMMIT = 200;

/** Fills a repo with records of dev.kith.test.bulk, numbered from 0, each with a text of `bytes`. */
export async function fillRepo(
  url: string,
  account: Account,
  { records, bytes }: { records: number; bytes: number },
): Promise<void> {
  const text = "x".repeat(bytes);
  for (let done = 0; done < records; done += WRITES_PER_COMMIT) {
    const count = Math.min(WRITES_PER_COMMIT, records - done);
    const batch = Array.from({ length: count }, (_, i) => ({ $type: BULK, number: done + i, text }));
    await applyCreates(url, account, batch);
  }
}

/** Samples a number every few milliseconds while an action runs; the largest. */
export async function largestDuring(sample: () => number, action: () => Promise<unknown>): Promise<number> {
  let largest = sample();
  const timer = setInterval(() => {
    largest = Math.max(largest, sample());
  }, 10);
  try {
    await action();
  } finally {
    clearInterval(timer);
  }
  return Math.max(largest, sample());
}
