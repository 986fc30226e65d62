/** For tests of communities: calls of dev.kith.community, and a group that one makes. */
import { randomBytes } from "node:crypto";
import { Secp256k1Keypair } from "@atproto/crypto";
import { type Account, type Answer, type Call, xrpc } from "../client.ts";

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
