import { afterEach, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { KithError } from "../errors.ts";
import { type Firehose, FirehoseEndpoint, type FirehoseSink } from "./firehose_socket.ts";
import { errorResponse } from "./router.ts";

const PATH = "/xrpc/com.atproto.sync.subscribeRepos";
const log = { info: () => {}, warn: () => {}, error: () => {} };
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A firehose that keeps what it was asked, and a server around it. */
function serve({ subscribe, assertRoom, ...from }: Partial<Firehose> & { ip?: string } = {}) {
  let { ip = "::1" } = from;
  const subscribers: { cursor?: number; sink: FirehoseSink; drained: number; closed: number }[] = [];
  const firehose: Firehose = {
    assertRoom: assertRoom ?? (() => {}),
    subscribe:
      subscribe ??
      (({ cursor, sink }) => {
        const subscriber = { cursor, sink, drained: 0, closed: 0 };
        subscribers.push(subscriber);
        return { drained: () => void subscriber.drained++, closed: () => void subscriber.closed++ };
      }),
  };
  const endpoint = new FirehoseEndpoint({
    firehose,
    log,
    bypass: { covers: ({ request }) => request.headers.has("x-may-all") },
    networkSubscribersMax: 2,
  });
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    websocket: endpoint.websocket,
    fetch: (request, server) => {
      const context = { requestId: "r1", ip };
      try {
        endpoint.upgrade(request, { server, context });
        return undefined;
      } catch (thrown) {
        return errorResponse(thrown, context);
      }
    },
  });
  cleanups.push(() => void server.stop(true));
  const open = async (query = ""): Promise<WebSocket> => {
    const socket = new WebSocket(`ws://127.0.0.1:${server.port}${PATH}${query}`);
    socket.binaryType = "arraybuffer";
    cleanups.push(() => socket.close());
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    return socket;
  };
  const as = (address: string): void => {
    ip = address;
  };
  return { server, subscribers, open, as };
}

/** Waits for a condition; the test's own timeout ends it. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

/** The status and headers that a handshake is answered with. */
async function handshake(port: number | undefined, query: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}${PATH}${query}`, {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    },
  });
  return `${response.status} ${await response.text()}`;
}

test("FirehoseEndpoint sends frames as binary messages, and passes the cursor on", async () => {
  const { subscribers, open } = serve();
  const socket = await open("?cursor=17");
  const received: unknown[] = [];
  socket.onmessage = (event) => received.push(new Uint8Array(event.data as ArrayBuffer));
  await until(() => subscribers.length === 1);
  expect(subscribers[0]?.cursor).toBe(17);
  expect(subscribers[0]?.sink.send(new Uint8Array([1, 2, 3]))).toBe("sent");
  await until(() => received.length === 1);
  expect(received).toEqual([new Uint8Array([1, 2, 3])]);
});

test("FirehoseEndpoint closes with the outbox's code, and tells the outbox once that the socket is gone", async () => {
  const { subscribers, open } = serve();
  const socket = await open();
  const closed = new Promise<CloseEvent>((resolve) => {
    socket.onclose = resolve;
  });
  await until(() => subscribers.length === 1);
  subscribers[0]?.sink.close(1008, "ConsumerTooSlow");
  const { code, reason } = await closed;
  expect({ code, reason }).toEqual({ code: 1008, reason: "ConsumerTooSlow" });
  await until(() => subscribers[0]?.closed === 1);
  expect(subscribers[0]?.sink.send(new Uint8Array([1]))).toBe("dropped");
  let answer = "";
  const late = (): void => {
    answer = subscribers[0]?.sink.send(new Uint8Array([1])) ?? "";
  };
  subscribers[0]?.sink.together(late);
  expect(answer).toBe("dropped");
});

test("FirehoseEndpoint ignores messages, answers pings, and closes on an oversize message", async () => {
  const { subscribers, open } = serve();
  const socket = await open();
  socket.send("hello");
  const ponged = new Promise<void>((resolve) => socket.addEventListener("pong", () => resolve()));
  (socket as WebSocket & { ping(): void }).ping();
  await ponged;
  expect(subscribers[0]?.closed).toBe(0);
  socket.send(new Uint8Array(70_000));
  await until(() => subscribers[0]?.closed === 1);
});

test("FirehoseEndpoint bounds the subscriptions of one network", async () => {
  const { server, subscribers, open, as } = serve({ ip: "2001:db8::1" });
  const first = await open();
  as("2001:db8::2");
  await open();
  expect(await handshake(server.port, "")).toMatch(/^429 .*RateLimitExceeded.*2 subscriptions/);
  as("2001:db8:0:1::1");
  await open();
  as("2001:db8::3");
  first.close();
  await until(() => subscribers.some(({ closed }) => closed === 1));
  await open();
  expect(await handshake(server.port, "")).toMatch(/^429 /);
  const exempt = new WebSocket(`ws://127.0.0.1:${server.port}${PATH}`, {
    headers: { "x-may-all": "1" },
  } as never);
  cleanups.push(() => exempt.close());
  await until(() => subscribers.length === 5);
});

test("FirehoseEndpoint chooses the subprotocol of its frames where it is offered", async () => {
  const { server } = serve();
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}${PATH}`, ["xrpc.v1.json", "xrpc.v0.cbor"]);
  cleanups.push(() => socket.close());
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  expect(socket.protocol).toBe("xrpc.v0.cbor");
});

test.each([
  ["?cursor=abc", /^400 .*InvalidRequest.*cursor/],
  ["?cursor=-1", /^400 .*InvalidRequest.*negative/],
  ["?cursor=1&cursor=2", /^400 .*InvalidRequest.*cursor/],
  ["?cursor=9007199254740992", /^400 .*InvalidRequest.*cursor/],
])("FirehoseEndpoint refuses the cursor of %s", async (query, expected) => {
  const { server } = serve();
  expect(await handshake(server.port, query)).toMatch(expected);
});

test("FirehoseEndpoint refuses, before the upgrade, a subscriber for whom there is no room", async () => {
  const { server, subscribers } = serve({
    assertRoom: () => {
      throw new KithError("busy", "Could not subscribe: full");
    },
  });
  expect(await handshake(server.port, "")).toMatch(/^503 .*NotEnoughResources/);
  expect(subscribers).toHaveLength(0);
});

test("FirehoseEndpoint closes with 1011 where no outbox can be opened", async () => {
  const { open } = serve({
    subscribe: () => {
      throw new Error("no");
    },
  });
  const closed = Promise.withResolvers<CloseEvent>();
  const socket = await open();
  socket.onclose = closed.resolve;
  expect((await closed.promise).code).toBe(1011);
});

/** A subscriber on a bare connection, which can stop reading. */
function subscribeBare(port: number | undefined): Socket {
  const socket = connect({ port: port ?? 0, host: "127.0.0.1" });
  cleanups.push(() => socket.destroy());
  socket.write(
    `GET ${PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
  );
  return socket;
}

test("FirehoseEndpoint says queued while a reader stalls, drops nothing, and says drained when it reads on", async () => {
  const { server, subscribers } = serve();
  const socket = subscribeBare(server.port);
  let bytes = 0;
  socket.on("data", (chunk) => {
    bytes += chunk.length;
  });
  await until(() => subscribers.length === 1);
  socket.pause();
  const frame = new Uint8Array(1024 * 1024);
  const send = () => subscribers[0]?.sink.send(frame) ?? "dropped";
  let answer = send();
  let sent = 1;
  for (; answer === "sent" && sent < 100; sent++) {
    await new Promise((resolve) => setImmediate(resolve));
    answer = send();
  }
  expect(answer).toBe("queued");
  // In the same turn: in a later one the system may have taken what it had no room for.
  expect(subscribers[0]?.drained).toBe(0);
  socket.resume();
  await until(() => (subscribers[0]?.drained ?? 0) > 0);
  await until(() => bytes > sent * frame.length);
});

test("FirehoseEndpoint sends together what a stalled reader still gets in full and in order, and says when it is queued", async () => {
  const { server, subscribers } = serve();
  const socket = subscribeBare(server.port);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  await until(() => subscribers.length === 1 && chunks.length > 0);
  socket.pause();
  const [payloadBytes, headBytes] = [1_000, 4];
  let [sent, all] = [0, "sent"];
  while (all === "sent" && sent < 100_000) {
    const answers: string[] = [];
    all =
      subscribers[0]?.sink.together(() => {
        for (let at = 0; at < 7; at++) {
          const frame = Buffer.alloc(payloadBytes);
          frame.writeUInt32BE(sent++);
          answers.push(subscribers[0]?.sink.send(frame) ?? "dropped");
        }
      }) ?? "dropped";
    expect(answers).not.toContain("dropped");
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(all).toBe("queued");
  socket.resume();
  await until(() => (subscribers[0]?.drained ?? 0) > 0);
  const total = (): number => chunks.reduce((sum, { length }) => sum + length, 0);
  await until(() => total() >= sent * (payloadBytes + headBytes));
  const bytes = Buffer.concat(chunks);
  const frames = bytes.subarray(bytes.indexOf("\r\n\r\n") + 4);
  expect(frames.length).toBe(sent * (payloadBytes + headBytes));
  const numbers = Array.from({ length: sent }, (_, at) =>
    frames.readUInt32BE(at * (payloadBytes + headBytes) + headBytes),
  );
  expect(numbers).toEqual(Array.from({ length: sent }, (_, at) => at));
});
