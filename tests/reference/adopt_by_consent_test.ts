/** An account of the reference PDS becomes a community by its owner's consent on the pages of that server. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { comeBack, does } from "../communities/consent.ts";
import { community, ROOM } from "../communities/group.ts";
import { TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";
import { ReferencePages } from "../reference_pages.ts";

const NOTE = "dev.kith.test.note";
const record = { $type: NOTE, text: "by consent" };

let plc: PlcDirectory;
let reference: ReferencePds;
let kith: TestServer;
let alice: Account;
let zoe: Account;

beforeAll(async () => {
  plc = await PlcDirectory.start();
  reference = await ReferencePds.start({ plc });
  const env = { ...ROOM, PDS_DID_PLC_URL: plc.url, KITH_COMMUNITY_PDS_ALLOWLIST: reference.url };
  kith = await TestServer.start({ env });
  alice = await createAccount(kith.url, "alice", plc);
  zoe = await createAccount(reference.url, "zoe", plc);
});
afterAll(async () => {
  await kith?.[Symbol.asyncDispose]();
  await reference?.[Symbol.asyncDispose]();
  await plc?.[Symbol.asyncDispose]();
});

const credentials = () => ({ identifier: zoe.handle, password: PASSWORD });
const ask = async (name: string, body: object) =>
  String((await does(kith.url, alice, name, { body })).authorizeUrl);
const agree = async (callback: URL) => (await comeBack(kith.url, callback)).decide("allow");

async function publish(): Promise<unknown> {
  const body = { communityDid: zoe.did, collection: NOTE, record };
  const { uri } = await does(kith.url, alice, "createRecord", { body });
  const params = { repo: zoe.did, collection: NOTE, rkey: String(uri).split("/").at(-1) };
  return (await xrpc(reference.url, "com.atproto.repo.getRecord", { params })).json.value;
}

test("an account of the reference is adopted, published for, shut out, let in again, and given up", async () => {
  const communityDid = zoe.did;
  const params = { communityDid };
  const denied = await new ReferencePages(reference.url).deny(await ask("adopt", { identifier: zoe.did }));
  expect((await comeBack(kith.url, denied)).page.title).toBe("Nothing was changed");

  // Somebody else than was asked for signs in there.
  const yuri = await createAccount(reference.url, "yuri", plc);
  const anothers = await new ReferencePages(reference.url).allow(
    await ask("adopt", { identifier: zoe.did }),
    { identifier: yuri.handle, password: PASSWORD },
  );
  expect((await agree(anothers)).text).toContain("another account");
  expect(await does(kith.url, alice, "list", {})).toEqual({ communities: [] });

  const callback = await new ReferencePages(reference.url).allow(
    await ask("adopt", { identifier: zoe.did }),
    credentials(),
  );
  const done = await agree(callback);
  expect([done.title, done.text]).toEqual(["The account is a community now", expect.any(String)]);
  expect(await publish()).toEqual(record);
  const blob = await community(kith.url, "uploadBlob", {
    token: alice.accessJwt,
    params,
    body: new Uint8Array([1, 2, 3]),
    headers: { "content-type": "text/plain" },
  });
  expect([blob.status, blob.json]).toMatchObject([200, { blob: { size: 3 } }]);
  // Health renews the session, each time.
  for (let times = 0; times < 2; times++) {
    expect(await does(kith.url, alice, "getHealth", { params })).toMatchObject({ status: "healthy" });
    expect(await publish()).toEqual(record);
  }
  // After a restart it goes on with what it has kept.
  await kith.stop();
  await kith.start();
  expect(await publish()).toEqual(record);

  expect(await new ReferencePages(reference.url).revokeAll(credentials())).toBe(1);
  expect(await does(kith.url, alice, "getHealth", { params })).toMatchObject({ status: "expired" });
  const again = await new ReferencePages(reference.url).allow(
    await ask("reauth", { communityDid }),
    credentials(),
  );
  expect((await agree(again)).title).toBe("This server is let in again");
  expect(await publish()).toEqual(record);
  const end = await does(kith.url, alice, "delete", { body: params });
  expect(String(end.remains)).not.toContain("Take the consent back");
  // The reference has taken it back: nothing is left there to revoke.
  expect(await new ReferencePages(reference.url).revokeAll(credentials())).toBe(0);
});
