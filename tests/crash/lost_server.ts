/**
 * A server that is lost, with a backup of much that can happen to an account: two snapshots, something of each kind after each, and the
 * shipped log.
 */
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Account, createRecord, post, postFile, xrpc } from "../client.ts";
import { RestoredStage } from "../restored_stage.ts";
import { waitFor } from "../wait.ts";

export class LostServer implements AsyncDisposable {
  readonly stage: RestoredStage;
  /** The older snapshot. */
  older = "";
  /** The same backup, with a part of the log missing: a restore of it tells of what is lost. */
  readonly holed: string;

  private constructor(stage: RestoredStage) {
    this.stage = stage;
    this.holed = join(stage.path, "holed");
  }

  static async open(): Promise<LostServer> {
    const lost = new LostServer(await RestoredStage.open());
    try {
      await lost.#fill();
      return lost;
    } catch (error) {
      await lost[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #fill(): Promise<void> {
    const { stage } = this;
    const { url } = stage;
    const people: Account[] = [];
    for (const name of ["alice", "bob", "carol", "dan"]) people.push(await stage.account(name));
    const [alice, bob, carol, dan] = people as [Account, Account, Account, Account];
    for (const each of people) {
      await createRecord(url, each, { record: post("before") });
      await postFile(url, each, { rkey: "before", content: `the first of ${each.handle}` });
    }
    const app = await stage.call("com.atproto.server.createAppPassword", { name: "stolen" }, alice);
    await xrpc(url, "com.atproto.server.createSession", {
      body: { identifier: alice.handle, password: app.password },
    });
    await stage.backUp();
    this.older = (await (await stage.repository()).snapshots()).at(-1)?.name ?? "";

    await stage.call("com.atproto.admin.deleteAccount", { did: bob.did }, "admin");
    await stage.call("com.atproto.identity.updateHandle", { handle: "renamed.test" }, dan);
    const erin = await stage.account("erin");
    await postFile(url, erin, { rkey: "first", content: "the first of erin" });
    await this.#takeDown(alice, "before");
    await createRecord(url, carol, { record: post("between") });
    await stage.backUp();

    await stage.call("com.atproto.server.revokeAppPassword", { name: "stolen" }, alice);
    await stage.call("com.atproto.server.deactivateAccount", {}, erin);
    const finn = await stage.account("finn");
    await postFile(url, finn, { rkey: "first", content: "the first of finn" });
    const subject = { $type: "com.atproto.admin.defs#repoRef", did: dan.did };
    const takedown = { applied: true, ref: "case 7" };
    await stage.call("com.atproto.admin.updateSubjectStatus", { subject, takedown }, "admin");
    await stage.call(
      "com.atproto.repo.deleteRecord",
      { repo: carol.did, collection: "dev.kith.test.file", rkey: "before" },
      carol,
    );
    await stage.settle();
    await this.#shipped();
    const { commit } = await createRecord(url, carol, { record: post("in the hole") });
    await stage.settle(commit.rev);
    await this.#shipped();
    const hole = (await (await stage.repository()).segments()).at(-1);
    await createRecord(url, carol, { record: post("after the hole") });
    await postFile(url, carol, { rkey: "after", content: "the last of carol" });
    await stage.settle();
    if ((await stage.server.stop()) !== 0)
      throw new Error(`The server did not stop:\n${stage.server.output}`);
    stage.lose();
    cpSync(stage.destination, this.holed, { recursive: true });
    rmSync(join(this.holed, hole?.name ?? ""));
  }

  async #takeDown({ did }: Account, rkey: string): Promise<void> {
    const { url } = this.stage;
    const uri = `at://${did}/dev.kith.test.file/${rkey}`;
    const { json } = await xrpc(url, "com.atproto.repo.getRecord", {
      params: { repo: did, collection: "dev.kith.test.file", rkey },
    });
    const { blob } = json.value as { blob: { ref: { $link: string } } };
    const subjects = [
      { $type: "com.atproto.repo.strongRef", uri, cid: json.cid },
      { $type: "com.atproto.admin.defs#repoBlobRef", did, cid: blob.ref.$link },
    ];
    for (const subject of subjects) {
      const change = { subject, takedown: { applied: true, ref: "late" } };
      await this.stage.call("com.atproto.admin.updateSubjectStatus", change, "admin");
    }
  }

  async #shipped(): Promise<void> {
    const last = this.stage.events.at(-1)?.seq ?? 0;
    await waitFor("the log to be shipped", async () => (await this.stage.shippedUpTo()) >= last);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stage[Symbol.asyncDispose]();
  }
}
