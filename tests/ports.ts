/**
 * Ports for servers that are started again where they were, or are told their port before they listen. They lie below those that the
 * system gives away by itself, which anybody may come to have while such a server is down; test files that run at the same
 * time have ranges of their own (tools/test.ts).
 */
const FIRST = 10_000;
const LAST = 15_999;

const [first = FIRST, last = LAST] = (process.env.KITH_TEST_PORTS ?? "").match(/\d+/g)?.map(Number) ?? [];
// Not always the same ones: what a killed run has left behind may still listen.
let next = first + Math.floor(Math.random() * (last - first + 1));

/** A port that nobody listens on, and that nobody else is given in this run. */
export function takePort(): number {
  for (let tried = first; tried <= last; tried += 1) {
    const port = next;
    next = port === last ? first : port + 1;
    if (isFree(port)) return port;
  }
  throw new Error(`No port from ${first} to ${last} is free`);
}

function isFree(port: number): boolean {
  try {
    void Bun.serve({ port, hostname: "localhost", fetch: () => new Response() }).stop(true);
    return true;
  } catch {
    return false;
  }
}
