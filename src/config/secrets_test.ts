import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isKithError } from "../errors.ts";
import { checkSecrets, ensureSecrets, SECRETS_FILE } from "./mod.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-secrets-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const KEY = "01".repeat(32);
const ALL = ["PDS_JWT_SECRET", "PDS_ADMIN_PASSWORD", "PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX"];

test("ensureSecrets() makes what is missing once, in a file only the owner reads", async () => {
  const dataFolder = join(folder, "data");
  const first = await ensureSecrets({ dataFolder, secrets: {} });
  expect(first.made).toEqual(ALL);
  expect(first.secrets.plcRotationKeyHex).toMatch(/^[0-9a-f]{64}$/);
  expect(statSync(first.path).mode & 0o777).toBe(0o600);
  const second = await ensureSecrets({ dataFolder, secrets: {} });
  expect(second).toEqual({ ...first, made: [] });
});

test("ensureSecrets() lets a given value win and does not store it", async () => {
  const given = { jwtSecret: "given-jwt", adminPassword: "given-password" };
  const { secrets, made, path } = await ensureSecrets({ dataFolder: folder, secrets: given });
  expect(secrets).toMatchObject(given);
  expect(made).toEqual(["PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX"]);
  expect(readFileSync(path, "utf8")).not.toContain("given");
  const later = await ensureSecrets({ dataFolder: folder, secrets: { plcRotationKeyHex: "01".repeat(32) } });
  expect(later.secrets.plcRotationKeyHex).toBe("01".repeat(32));
  expect(JSON.parse(readFileSync(path, "utf8")).PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX).toBe(
    secrets.plcRotationKeyHex,
  );
});

test("ensureSecrets() makes no rotation key where there are accounts of another", async () => {
  const options = { hasAccounts: true };
  const attempt = ensureSecrets({ dataFolder: folder, secrets: { jwtSecret: "a" } }, options);
  await expect(attempt).rejects.toThrow(/Could not find the PLC rotation key of the accounts/);
  expect(existsSync(join(folder, "secrets.json"))).toBe(false);
  const secrets = { plcRotationKeyHex: "01".repeat(32) };
  const { made } = await ensureSecrets({ dataFolder: folder, secrets }, options);
  expect(made).toEqual(["PDS_JWT_SECRET", "PDS_ADMIN_PASSWORD"]);
});

test("ensureSecrets() writes nothing where everything is given", async () => {
  const secrets = { jwtSecret: "a", adminPassword: "b", plcRotationKeyHex: "01".repeat(32) };
  const { path } = await ensureSecrets({ dataFolder: folder, secrets });
  expect(existsSync(path)).toBe(false);
});

test.each(["not json", '{"PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX":"zz"}', "[]"])(
  "ensureSecrets() refuses a damaged file and leaves it alone: %p",
  async (content) => {
    const path = join(folder, "secrets.json");
    writeFileSync(path, content);
    const error = await ensureSecrets({ dataFolder: folder, secrets: {} }).catch((thrown: unknown) => thrown);
    expect(isKithError(error, "config_invalid")).toBe(true);
    expect((error as Error).message).toBe(
      `Could not use the secrets file "${path}": it is not JSON with the secrets that kith wrote`,
    );
    expect(readFileSync(path, "utf8")).toBe(content);
  },
);

test.each([
  { title: "all of them are kept", content: ALL, given: {}, kind: undefined },
  {
    title: "one is kept and the others are given",
    content: ALL.slice(2),
    given: { jwtSecret: "a", adminPassword: "b" },
    kind: undefined,
  },
  { title: "the rotation key is in neither", content: ALL.slice(0, 2), given: {}, kind: "lost" },
  { title: "the file is gone", content: undefined, given: {}, kind: "lost" },
  {
    title: "the file is gone, and the rotation key is given",
    content: undefined,
    given: { plcRotationKeyHex: KEY },
    kind: "anew",
  },
  { title: "the file is no JSON", content: "{", given: {}, kind: "damaged" },
  { title: "it is a folder", content: "folder", given: {}, kind: "damaged" },
])("checkSecrets(): $title", async ({ content, given, kind }) => {
  const path = join(folder, SECRETS_FILE);
  if (content === "folder") mkdirSync(path);
  else if (typeof content === "string") writeFileSync(path, content);
  else if (content)
    writeFileSync(path, JSON.stringify(Object.fromEntries(content.map((name) => [name, KEY]))));
  expect((await checkSecrets({ dataFolder: folder, secrets: given }))?.kind).toBe(kind as "lost" | undefined);
});
