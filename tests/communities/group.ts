/** For tests of communities: calls of dev.kith.community, and a group that one makes. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { Secp256k1Keypair } from "@atproto/crypto";
import { type Account, type Answer, type Call, xrpc } from "../client.ts";
import type { TestServer } from "../harness.ts";

export type Hosting = "native" | "stock";

/** Room for as many communities as the tests make. */
export const ROOM = {
  KITH_COMMUNITIES_PER_MEMBER: "500",
  KITH_COMMUNITIES_PER_MEMBER_PER_DAY: "500",
  KITH_COMMUNITIES_PER_DAY: "500",
};

export interface Group {
  readonly did: string;
  readonly handle: string;
  readonly request: ProvisionInput;
  readonly answer: Record<string, unknown>;
  readonly key: Secp256k1Keypair;
}

export interface ProvisionInput extends Record<string, unknown> {
  readonly idempotencyKey: string;
  readonly handle: string;
  readonly rotationKey: string;
}

/** A method of dev.kith.community by its last words. */
export function community(server: string, name: string, call: Call): Promise<Answer> {
  return xrpc(server, `dev.kith.community.${name}`, call);
}

export function provisionInput(
  key: Pick<Secp256k1Keypair, "did">,
  more: Record<string, unknown> & { handle: string },
): ProvisionInput {
  const idempotencyKey = `key-${randomBytes(8).toString("hex")}`;
  return { idempotencyKey, rotationKey: key.did(), ...more };
}

/** Makes a community; throws where it is refused. */
export async function provision(
  server: string,
  by: Pick<Account, "accessJwt">,
  { name, hosting, ...more }: { name: string; hosting: Hosting } & Record<string, unknown>,
): Promise<Group> {
  const key = await Secp256k1Keypair.create({ exportable: true });
  const handle = `${name}.test`;
  const email = hosting === "stock" ? { email: `${name}@example.com` } : {};
  const request = provisionInput(key, { handle, hosting, ...email, ...more });
  const answer = await community(server, "provision", { token: by.accessJwt, body: request });
  if (answer.status !== 200)
    throw new Error(`provision answers ${answer.status} ${JSON.stringify(answer.json)}`);
  return { did: String(answer.json.communityDid), handle, request, answer: answer.json, key };
}

/** A call on the admin socket, as the command line makes it. */
export async function adminCall(
  { folder }: Pick<TestServer, "folder">,
  name: string,
  { params = {}, body }: { params?: Record<string, string>; body?: unknown } = {},
): Promise<{ status: number; json: Record<string, unknown> }> {
  const query = new URLSearchParams(params).toString();
  const answer = await fetch(`http://localhost/xrpc/dev.kith.admin.${name}${query && `?${query}`}`, {
    unix: join(folder, "admin.sock"),
    ...(body === undefined
      ? {}
      : {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify(body),
        }),
  });
  return { status: answer.status, json: (await answer.json()) as Record<string, unknown> };
}

/** A code as it would be mailed. */
export async function emailCode(
  server: Pick<TestServer, "folder">,
  did: string,
  purpose: string,
): Promise<string> {
  const { json } = await adminCall(server, "createEmailCode", { body: { did, purpose } });
  return String(json.code);
}
