import { expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { isKithError } from "../errors.ts";
import { Fixture } from "./_fixture.ts";
import { Keyring, type SealedPlace } from "./keyring.ts";

const PLACE: SealedPlace = {
  purpose: "signing keys",
  table: "account",
  column: "signing_key",
  row: "did:plc:a",
};
const SECRET = new TextEncoder().encode("a private key");

test("Keyring opens what it sealed, also after a restart, and never seals the same way twice", async () => {
  await using folder = new Fixture();
  const keyring = Keyring.open(folder.file("master.key"));
  const sealed = keyring.seal(SECRET, PLACE);
  expect(Buffer.from(sealed).includes(Buffer.from(SECRET))).toBe(false);
  expect(keyring.seal(SECRET, PLACE)).not.toEqual(sealed);
  const again = Keyring.open(folder.file("master.key"));
  expect(new Uint8Array(again.unseal(sealed, PLACE))).toEqual(SECRET);
  expect(statSync(folder.file("master.key")).mode & 0o777).toBe(0o600);
});

test.each([
  ["another purpose", { purpose: "app passwords" }],
  ["another table", { table: "attempt" }],
  ["another column", { column: "rotation_key" }],
  ["another row", { row: "did:plc:b" }],
])("Keyring.unseal() refuses a value moved to %s", async (_, moved) => {
  await using folder = new Fixture();
  const keyring = Keyring.open(folder.file("master.key"));
  const sealed = keyring.seal(SECRET, PLACE);
  expect(() => keyring.unseal(sealed, { ...PLACE, ...moved })).toThrow("Could not open the sealed value");
});

test("Keyring.unseal() refuses every altered byte, and truncation", async () => {
  await using folder = new Fixture();
  const keyring = Keyring.open(folder.file("master.key"));
  const sealed = keyring.seal(SECRET, PLACE);
  for (let at = 0; at < sealed.length; at++) {
    const altered = new Uint8Array(sealed);
    altered[at] = (altered[at] ?? 0) ^ 1;
    expect(() => keyring.unseal(altered, PLACE)).toThrow();
    expect(() => keyring.unseal(sealed.subarray(0, at), PLACE)).toThrow();
  }
});

test("Keyring.rotate() seals with a new key and still opens old values; reseal moves them over", async () => {
  await using folder = new Fixture();
  const keyring = Keyring.open(folder.file("master.key"));
  const old = keyring.seal(SECRET, PLACE);
  expect(keyring.rotate()).toBe(2);
  const moved = keyring.reseal(old, PLACE);
  const again = Keyring.open(folder.file("master.key"));
  expect(again.currentVersion).toBe(2);
  expect(new Uint8Array(again.unseal(old, PLACE))).toEqual(SECRET);
  expect(new Uint8Array(again.unseal(moved, PLACE))).toEqual(SECRET);
  expect(moved.subarray(0, 4)).toEqual(Buffer.from([0, 0, 0, 2]));
});

test.each(["", "{}", '{"keys":{}}', '{"keys":{"1":"00"}}'])(
  "Keyring.open() refuses the file %j",
  async (text) => {
    await using folder = new Fixture();
    writeFileSync(folder.file("master.key"), text);
    try {
      Keyring.open(folder.file("master.key"));
      expect.unreachable();
    } catch (error) {
      expect(isKithError(error, "data_folder_refused")).toBe(true);
    }
    expect(readFileSync(folder.file("master.key"), "utf8")).toBe(text);
  },
);
