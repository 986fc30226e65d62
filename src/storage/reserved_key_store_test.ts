import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { Hub } from "./hub.ts";
import { Keyring } from "./keyring.ts";
import { RESERVED_KEY_LIFETIME_MS, ReservedKeyStore } from "./reserved_key_store.ts";

const KEY = new Uint8Array(32).fill(7);
const key = (id: string, didKey: string, now = 0) => ({
  id,
  didKey,
  type: "k256" as const,
  privateKey: KEY,
  now,
});

test("ReservedKeyStore keeps the first key of an id, sealed, until it is forgotten or too old", async () => {
  await using folder = new Fixture();
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const keys = new ReservedKeyStore(hub, Keyring.open(folder.file("master.key")));
  expect(keys.find("did:plc:a")).toBeUndefined();
  expect(await keys.reserve(key("did:plc:a", "did:key:one"))).toBe("did:key:one");
  expect(await keys.reserve(key("did:plc:a", "did:key:two"))).toBe("did:key:one");
  expect(keys.find("did:plc:a")).toMatchObject({ didKey: "did:key:one", type: "k256", privateKey: KEY });
  const [row] = hub.read<{ signing_key: Uint8Array }>("SELECT signing_key FROM reserved_key");
  expect(Buffer.from(row!.signing_key).includes(Buffer.from(KEY))).toBe(false);
  expect(await keys.resealKeys()).toBe(1);
  expect(keys.find("did:plc:a")?.privateKey).toEqual(KEY);
  await keys.reserve(key("did:plc:b", "did:key:three", RESERVED_KEY_LIFETIME_MS + 1));
  expect(keys.find("did:plc:a")).toBeUndefined();
  await keys.forget("did:plc:b");
  expect(keys.find("did:plc:b")).toBeUndefined();
  await hub.close();
});
