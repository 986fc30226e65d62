/** What this server can do for a community, and what it cannot: told in every answer that makes one. Pure. */
import type { CommunityKind, CommunityMode } from "../storage/mod.ts";

export interface Abilities {
  readonly canDo: readonly string[];
  readonly cannotDo: readonly string[];
}

const MEMBERS = "Its members, their roles and invites are kept here.";

const PROVISIONED: Readonly<Record<"native" | "stock", Abilities>> = {
  native: {
    canDo: [
      "Members who may publish write records and upload blobs as the community, without any password.",
      MEMBERS,
      "Your rotation key comes first: with it alone you can move the community away.",
    ],
    cannotDo: [
      "Nobody can sign in as the community: its account has no password, and no e-mail address is kept for it.",
      "This server does not have your rotation key: what its own key does to the identity, yours can undo for 72 hours.",
    ],
  },
  stock: {
    canDo: [
      "Members who may publish write records and upload blobs as the community, by an app password that you can revoke at its server.",
      MEMBERS,
      "Your rotation key comes first: with it alone you can move the community away, or undo for 72 hours what any other key does to the identity.",
      "You can sign in at its server with the password that was told once: change it.",
    ],
    cannotDo: [
      "This server cannot change the account's password, e-mail address or handle, and forgets the password once it was told.",
      "It does not have your rotation key; its own comes after it.",
    ],
  },
};

const MINTED: Abilities = {
  canDo: [MEMBERS, "Your rotation key alone rules the identity: give it an account wherever you like."],
  cannotDo: [
    "Nothing can be published: the identity has no account.",
    "This server has no key of it, and can change or end nothing about it.",
  ],
};

const ADOPTED: Abilities = {
  canDo: [
    "Members who may publish write records and upload blobs as the community, for as long as its account lets this server in.",
    MEMBERS,
  ],
  cannotDo: [
    "This server cannot move the account, change its password or handle, or recover it: that is for who signs in to it.",
    "It has no rotation key of the DID.",
  ],
};

export function abilitiesOf({ mode, kind }: { mode: CommunityMode; kind: CommunityKind | null }): Abilities {
  if (mode === "minted") return MINTED;
  if (mode === "adopted") return ADOPTED;
  return PROVISIONED[kind === "native" ? "native" : "stock"];
}
