/** For tests of the stores of communities: all of them over one hub, and what they are given. */
import { Fixture } from "./_fixture.ts";
import { AttemptArchive } from "./attempt_archive.ts";
import { AttemptStore, type NewAttempt } from "./attempt_store.ts";
import { CommunityAudit } from "./community_audit.ts";
import { CommunityInviteStore } from "./community_invite_store.ts";
import { CommunityMemberStore } from "./community_member_store.ts";
import { CommunityStore, type NewCommunity } from "./community_store.ts";
import { Hub } from "./hub.ts";
import { Keyring } from "./keyring.ts";

export const ALICE = "did:plc:alice";
export const BOB = "did:plc:bob";
export const GROUP = "did:plc:group";
export const ROTATION_KEY = "did:key:zQ3shR";

export const COMMUNITY: NewCommunity = {
  did: GROUP,
  mode: "provisioned",
  kind: "remote",
  handle: "group.test",
  pdsEndpoint: "https://pds.test",
  pdsDid: "did:web:pds.test",
  rotationKey: ROTATION_KEY,
  createdBy: ALICE,
};

export function newAttempt(change: Partial<NewAttempt> = {}): NewAttempt {
  return {
    id: "attempt-1",
    caller: ALICE,
    idempotencyKey: "key-1",
    requestDigest: "00",
    kind: "remote",
    handle: "group.test",
    pdsEndpoint: "https://pds.test",
    rotationKey: ROTATION_KEY,
    request: { email: "group@mail.test" },
    now: 1_000,
    quotas: { inFlightMax: 9, perCallerPerDayMax: 9, perDayMax: 9, communitiesMax: 9 },
    ...change,
  };
}

export async function openCommunityStores() {
  const folder = new Fixture();
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const keyring = Keyring.open(folder.file("master.key"));
  return {
    hub,
    keyring,
    attempts: new AttemptStore(hub, keyring),
    archive: new AttemptArchive(hub, keyring),
    communities: new CommunityStore(hub, keyring),
    members: new CommunityMemberStore(hub),
    invites: new CommunityInviteStore(hub),
    audit: new CommunityAudit(hub),
    [Symbol.asyncDispose]: async () => {
      await hub.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}
