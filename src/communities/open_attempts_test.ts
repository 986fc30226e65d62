import { expect, spyOn, test } from "bun:test";
import { BOB, errorOf, HANDLE, openStage } from "./_attempts_fixture.ts";
import { CommunityInvites } from "./invites.ts";
import { Members } from "./members.ts";

test("an attempt that has stopped is listed to its caller alone, and gone on with as it was asked for", async () => {
  await using stage = await openStage("remote");
  const { attempts } = stage.process();
  expect(attempts.open(stage.caller)).toEqual([]);
  stage.troubles.add({ call: "createAppPassword", when: "before" });
  expect((await errorOf(stage.make(attempts))).code).toBe("provisioning_failed");
  const [open] = attempts.open(stage.caller);
  expect(open).toMatchObject({ handle: HANDLE, state: "activated" });
  const id = open?.id ?? "";
  expect(attempts.open(BOB)).toEqual([]);
  expect((await errorOf(attempts.resume(BOB, id))).code).toBe("invalid_request");
  expect((await errorOf(attempts.resume(stage.caller, "none"))).code).toBe("invalid_request");
  const answer = await attempts.resume(stage.caller, id);
  expect(answer).toMatchObject({
    status: "activated",
    communityDid: open?.did,
    rootCredentials: { handle: HANDLE },
  });
  expect(attempts.open(stage.caller)).toEqual([]);
  // Once it is over, the call is answered again, without the password.
  expect(await attempts.resume(stage.caller, id)).not.toHaveProperty("rootCredentials");
});

test("a password that was not told yet keeps its attempt in the list", async () => {
  await using stage = await openStage("remote");
  const { attempts } = stage.process();
  spyOn(stage.stores.store, "takePassword").mockImplementationOnce(() =>
    Promise.reject(new Error("the process has ended")),
  );
  await expect(stage.make(attempts)).rejects.toThrow("the process has ended");
  const [open] = attempts.open(stage.caller);
  expect(open?.state).toBe("graduated");
  expect(await attempts.resume(stage.caller, open?.id ?? "")).toHaveProperty("rootCredentials");
  expect(attempts.open(stage.caller)).toEqual([]);
});

test("a minted identity is gone on with too", async () => {
  await using stage = await openStage("mint");
  const { attempts } = stage.process();
  stage.troubles.add({ call: "submit", when: "before" });
  await errorOf(stage.make(attempts));
  const [open] = attempts.open(stage.caller);
  if (!open) throw new Error(`Nothing is open; the calls were ${stage.troubles.journal}`);
  const answer = await attempts.resume(stage.caller, open.id);
  expect(answer.communityDid).toBe(open.did ?? "");
  expect(answer).not.toHaveProperty("status");
});

test("an invite is looked at without being used, for as long as it could be", async () => {
  await using stage = await openStage("native");
  const { communities, members, invites } = stage.stores;
  const { communityDid } = await stage.make(stage.process().attempts);
  let now = stage.clock.now;
  const parts = { communities, members, isSomebody: () => true, now: () => now };
  const service = new CommunityInvites({ invites, members: new Members(parts), now: () => now });
  const { token, invite } = await service.create(communityDid, {
    ...{ caller: stage.caller, role: "manager", canPublish: true, uses: 1 },
  });
  for (const [caller, isMember] of [
    [BOB, false],
    [stage.caller, true],
    [BOB, false],
  ] as const) {
    expect(service.look(token, caller)).toMatchObject({ invite: { id: invite.id, used: 0 }, isMember });
  }
  expect(() => service.look("kith-invite-0", BOB)).toThrow("Could not use the invite");
  now += 8 * 24 * 3_600_000;
  expect(() => service.look(token, BOB)).toThrow("Could not use the invite");
});
