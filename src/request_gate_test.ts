import { expect, test } from "bun:test";
import { type Edge, RequestGate } from "./request_gate.ts";

const NO_SERVER = undefined as never;

function openGate(edge: { aside?: Edge["aside"]; fetch?: Edge["http"]["fetch"] }): RequestGate {
  const gate = new RequestGate();
  const error = () => Response.json({ error: "InternalServerError" }, { status: 500 });
  const { aside, fetch = async () => new Response("from the edge") } = edge;
  const websocket = {} as Edge["http"]["websocket"];
  const admin = { fetch: async () => new Response("from the admin's"), error, websocket };
  gate.open({ aside, http: { fetch, error, websocket }, admin });
  return gate;
}

/** A request as a Host header can make it: with a URL that nobody can read. */
function unreadable(): Request {
  return Object.defineProperty(new Request("http://localhost/"), "url", { value: "http://a b/" });
}

test("RequestGate.fetch answers what is thrown with the edge's error answer, and never rejects", async () => {
  const thrower = async () => {
    throw new TypeError("a defect");
  };
  for (const edge of [{ aside: thrower }, { fetch: thrower }]) {
    const gate = openGate(edge);
    const answer = await gate.fetch(new Request("http://localhost/"), NO_SERVER);
    expect([answer?.status, await answer?.json()]).toEqual([500, { error: "InternalServerError" }]);
    expect(gate.underWay).toBe(0);
  }
});

test("RequestGate.fetch refuses an unreadable URL like any other while it drains", async () => {
  const gate = openGate({});
  gate.drain();
  expect((await gate.fetch(unreadable(), NO_SERVER))?.status).toBe(503);
});

test("RequestGate.error answers before there is an edge", () => {
  expect(new RequestGate().error(new Error("early")).status).toBe(503);
});

test("RequestGate.admin answers with the admin's edge, under the same gate", async () => {
  const gate = openGate({});
  const ask = () => gate.admin.fetch(new Request("http://localhost/"), NO_SERVER);
  expect(await (await ask())?.text()).toBe("from the admin's");
  expect(await (await gate.fetch(new Request("http://localhost/"), NO_SERVER))?.text()).toBe("from the edge");
  gate.drain();
  expect((await ask())?.status).toBe(503);
});
