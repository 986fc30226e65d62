/** Bad input to every method of dev.kith.community: a refusal that says why, and nothing left behind. */
import { describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import type { Account, Answer, Call } from "../client.ts";
import { type Stage, useStage } from "../stage.ts";
import { community, provisionInput, ROOM } from "./group.ts";

const NOTE = "dev.kith.test.note";
const record = { $type: NOTE, text: "hello" };

const outcome = ({ status, error }: Answer) => [status, error];

async function does(stage: Stage, by: Account, name: string, call: Call): Promise<Record<string, unknown>> {
  const { status, json } = await community(stage.url, name, { token: by.accessJwt, ...call });
  expect({ name, status, json }).toMatchObject({ status: 200 });
  return json;
}

async function refused(stage: Stage, by: Account, name: string, call: Call): Promise<unknown[]> {
  return outcome(await community(stage.url, name, { token: by.accessJwt, ...call }));
}

describe("what every call is given", () => {
  const holder = useStage({ env: ROOM });
  const DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
  const LONG = "x".repeat(100_000);
  /** No value of any field of ours. */
  const NO_VALUE: unknown[] = [
    null,
    1,
    1.5,
    -1,
    true,
    [],
    {},
    "",
    " ",
    "\u0000",
    "\ud800",
    LONG,
    "../..",
    "at://x",
    "{}",
  ];

  /** A call that is good in its form, of each method, with its input or its parameters. */
  const good = (
    key: string,
  ): [string, { input?: Record<string, unknown>; params?: Record<string, unknown> }][] => [
    [
      "provision",
      {
        input: {
          ...provisionInput({ did: () => key }, { handle: "wellformed.test" }),
          hosting: "native",
          pdsEndpoint: "https://pds.example.com",
          email: "a@example.com",
          inviteCode: "abc",
          declaration: { collection: NOTE, rkey: "self", record },
        },
      },
    ],
    ["mint", { input: { idempotencyKey: "12345678", rotationKey: key, handle: "a.example.com" } }],
    ["adopt", { input: { identifier: DID, appPassword: "aaaa-bbbb-cccc-dddd" } }],
    ["list", { params: { limit: 50, cursor: "x" } }],
    ["get", { params: { communityDid: DID } }],
    ["getHealth", { params: { communityDid: DID } }],
    ["reauth", { input: { communityDid: DID, appPassword: "aaaa-bbbb-cccc-dddd" } }],
    ["delete", { input: { communityDid: DID } }],
    [
      "createRecord",
      { input: { communityDid: DID, collection: NOTE, rkey: "a", record, validate: false, swapCommit: CID } },
    ],
    [
      "putRecord",
      {
        input: {
          communityDid: DID,
          collection: NOTE,
          rkey: "a",
          record,
          validate: false,
          swapCommit: CID,
          swapRecord: CID,
        },
      },
    ],
    [
      "deleteRecord",
      { input: { communityDid: DID, collection: NOTE, rkey: "a", swapCommit: CID, swapRecord: CID } },
    ],
    [
      "applyWrites",
      {
        input: {
          communityDid: DID,
          validate: true,
          swapCommit: CID,
          writes: [{ $type: "dev.kith.community.applyWrites#delete", collection: NOTE, rkey: "a" }],
        },
      },
    ],
    ["uploadBlob", { params: { communityDid: DID }, input: undefined }],
    ["grant", { input: { communityDid: DID, subject: DID, role: "member", canPublish: true } }],
    ["revoke", { input: { communityDid: DID, subject: DID } }],
    ["listMembers", { params: { communityDid: DID, limit: 50, cursor: "x" } }],
    [
      "invite.create",
      {
        input: {
          communityDid: DID,
          role: "member",
          canPublish: false,
          uses: 1,
          expiresAt: "2030-01-01T00:00:00Z",
        },
      },
    ],
    ["invite.redeem", { input: { token: "kith-invite-000000" } }],
    ["invite.revoke", { input: { communityDid: DID, id: "abc" } }],
    ["invite.list", { params: { communityDid: DID, limit: 50, cursor: "x" } }],
  ];
  const CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
  const NAMES = good("did:key:z").map(([name]) => name);

  test.each(NAMES)("%s: no field of any value makes more than a refusal", async (name) => {
    const { stage } = holder;
    const key = (await Secp256k1Keypair.create()).did();
    const call = good(key).find(([other]) => other === name)?.[1] ?? {};
    const send = async (input: unknown, params: Record<string, unknown> | undefined, what: unknown) => {
      const body = name === "uploadBlob" ? new Uint8Array([1]) : input;
      const answer = await community(stage.url, name, {
        token: stage.alice.accessJwt,
        ...(params ? { params: params as Call["params"] & object } : {}),
        ...(body === undefined ? {} : { body }),
      });
      const isRefusal = answer.status >= 400 && answer.status < 500 && answer.error !== undefined;
      const isHarmless = answer.status === 200 && (name === "list" || answer.json.communities !== undefined);
      if (!isRefusal && !isHarmless) expect([name, what, answer.status, answer.json]).toEqual([]);
    };
    for (const field of Object.keys(call.input ?? {})) {
      for (const value of NO_VALUE)
        await send({ ...call.input, [field]: value }, call.params, [field, value]);
    }
    for (const field of Object.keys(call.params ?? {})) {
      for (const value of [
        "",
        " ",
        "\u0000",
        LONG.slice(0, 8_000),
        "-1",
        "0",
        "1e9",
        "x",
        "did:plc:x",
        "NaN",
      ]) {
        await send(call.input, { ...call.params, [field]: value }, [field, value.slice(0, 20)]);
      }
      await send(call.input, { ...call.params, [field]: ["a", "b"] }, [field, "twice"]);
    }
    if (call.input) {
      for (const input of [null, [], "x", 1]) await send(JSON.stringify(input), call.params, input);
      for (const text of ["", "{", "\u0000", '{"a":1'.repeat(1_000)])
        await send(text, call.params, text.slice(0, 9));
      await send({}, call.params, "nothing");
    }
  });

  test("provision: handles, keys and endpoints that cannot be", async () => {
    const { stage } = holder;
    const key = await Secp256k1Keypair.create();
    const rows: [Record<string, unknown>, number, string][] = [
      [{ handle: "garden" }, 400, "InvalidRequest"],
      [{ handle: "garden.example.com" }, 400, "UnsupportedDomain"],
      [{ handle: "alice.test" }, 400, "HandleNotAvailable"],
      [{ handle: "admin.test" }, 400, "HandleNotAvailable"],
      [{ handle: "x.test" }, 400, "InvalidHandle"],
      [{ handle: "a.b.test" }, 400, "InvalidHandle"],
      [{ rotationKey: key.did().slice(0, -1) }, 400, "InvalidRequest"],
      [{ rotationKey: "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK" }, 400, "InvalidRequest"],
      [{ rotationKey: "did:web:example.com" }, 400, "InvalidRequest"],
      [{ idempotencyKey: "1234567" }, 400, "InvalidRequest"],
      [{ idempotencyKey: "with space" }, 400, "InvalidRequest"],
      [{ hosting: "other" }, 400, "InvalidRequest"],
      [{ hosting: "native", pdsEndpoint: "https://pds.example.com" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://pds.example.com" }, 403, "HostNotAllowed"],
      [{ pdsEndpoint: "http://pds.example.com" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://169.254.169.254" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://0x7f.1" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://user@pds.example.com" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "https://pds.example.com/path" }, 400, "InvalidRequest"],
      [{ pdsEndpoint: "file:///etc/passwd" }, 400, "InvalidRequest"],
      [{ declaration: { collection: "x", rkey: "a", record } }, 400, "InvalidRequest"],
      [{ declaration: { collection: NOTE, rkey: "a/b", record } }, 400, "InvalidRequest"],
      [
        { declaration: { collection: NOTE, rkey: "a", record: { text: "x".repeat(70_000) } } },
        400,
        "InvalidRequest",
      ],
      [{ declaration: { collection: NOTE, rkey: "a", record: [1] } }, 400, "InvalidRequest"],
      [{ hosting: "stock", email: undefined }, 400, "InvalidEmail"],
      [{ hosting: "stock", email: "no address" }, 400, "InvalidEmail"],
    ];
    for (const [change, ...expected] of rows) {
      const body = { ...provisionInput(key, { handle: "goodname.test", email: "g@example.com" }), ...change };
      const got = await refused(stage, stage.alice, "provision", { body });
      expect([change, ...got]).toEqual([change, ...expected]);
    }
    // Nothing of all that is left: the same key and name serve a good request.
    const body = { ...provisionInput(key, { handle: "goodname.test" }), idempotencyKey: "the-same-key" };
    const bad = { ...body, handle: "alice.test" };
    expect(await refused(stage, stage.alice, "provision", { body: bad })).toEqual([
      400,
      "HandleNotAvailable",
    ]);
    await does(stage, stage.alice, "provision", { body });
  });
});
