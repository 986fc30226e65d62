/** plc.directory itself cannot be asked from a test: msw answers in its name, well and badly. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { HttpResponse, http } from "msw";
import { setupServer } from "msw/node";
import type { PlcOperation } from "../atproto/mod.ts";
import { type ErrorCode, KithError } from "../errors.ts";
import { createPlcClient, PlcRefusedError } from "./plc_directory.ts";

const URL = "https://plc.directory";
const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const PATH = `${URL}/${encodeURIComponent(DID)}`;
const DATA = {
  did: DID,
  rotationKeys: ["did:key:zQ3shhCGUqDKjStzuDxPkTxN6ujddP4RkEKJJouJGRRkaLGbg"],
  verificationMethods: { atproto: "did:key:zQ3shXjHeiBuRCKmM36cuYnm7YEMzhGnCmCyW92sRJ9pribSF" },
  alsoKnownAs: ["at://atproto.com"],
  services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: "https://pds.example.com" } },
};

const directory = setupServer();
beforeAll(() => directory.listen({ onUnhandledRequest: "error" }));
afterEach(() => directory.resetHandlers());
afterAll(() => directory.close());

const client = createPlcClient({ url: URL, timeoutMs: 60_000 });
const operation = { type: "plc_tombstone", prev: "x", sig: "y" } as unknown as PlcOperation;

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | undefined> {
  const error: unknown = await promise.then(
    () => undefined,
    (caught: unknown) => caught,
  );
  return error instanceof KithError ? error.code : undefined;
}

describe("createPlcClient() against plc.directory", () => {
  test("reads what a DID is now", async () => {
    directory.use(http.get(`${PATH}/data`, () => HttpResponse.json(DATA)));
    expect(await client.data(DID)).toMatchObject({ did: DID, alsoKnownAs: ["at://atproto.com"] });
  });

  test("hands an operation in as JSON", async () => {
    let received: unknown;
    directory.use(
      http.post(PATH, async ({ request }) => {
        received = await request.json();
        return new HttpResponse(null, { status: 200 });
      }),
    );
    await client.submit(DID, operation);
    expect(received).toEqual(operation);
  });

  test("tells a refusal, with the directory's words, from an unknown outcome", async () => {
    directory.use(
      http.post(PATH, () => HttpResponse.json({ message: "Invalid signature" }, { status: 400 })),
    );
    const error: unknown = await client.submit(DID, operation).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(PlcRefusedError);
    expect((error as Error).message).toContain("Invalid signature");
  });

  test.each([
    ["is overloaded", () => HttpResponse.json({ message: "slow down" }, { status: 429 })],
    ["fails", () => new HttpResponse("<html>", { status: 500 })],
    [
      "redirects",
      () => new HttpResponse(null, { status: 302, headers: { location: "https://elsewhere.example/" } }),
    ],
    ["hangs up", () => HttpResponse.error()],
  ])("leaves the outcome open where the directory %s", async (_, answer) => {
    directory.use(http.post(PATH, answer));
    expect(await codeOf(client.submit(DID, operation))).toBe("upstream_failure");
  });

  test.each([
    ["not found", () => HttpResponse.json({ message: "not registered" }, { status: 404 }), "did_not_found"],
    ["a tombstone", () => HttpResponse.json({ message: "tombstoned" }, { status: 410 }), "did_deactivated"],
    ["of another DID", () => HttpResponse.json({ ...DATA, did: "did:plc:aaaa" }), "upstream_failure"],
    ["no JSON", () => new HttpResponse("<html>"), "upstream_failure"],
    ["of the wrong shape", () => HttpResponse.json({ did: DID }), "upstream_failure"],
  ] as const)("refuses an answer that is %s", async (_, answer, code) => {
    directory.use(http.get(`${PATH}/data`, () => answer()));
    expect(await codeOf(client.data(DID))).toBe(code);
  });
});
