/** A member moves with `kith migrate` from server to server, the reference PDS among them, while followers watch. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { AtpAgent } from "@atproto/api";
import {
  type Account,
  createAccount,
  createRecord,
  newPicture,
  PASSWORD,
  post,
  repoCar,
  xrpc,
} from "../client.ts";
import { describeEvent, type Event, Firehose } from "../firehose.ts";
import { TestServer } from "../harness.ts";
import { FirehoseAuditor, type JudgedRepo, judgeRepo, signingKeyOf } from "../judges.ts";
import { EXIT_UNANSWERED, Migrator } from "../migrator.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";
import { applyCreates } from "../scale/load.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { keyLookup } from "../stage.ts";

setDefaultTimeout(120_000);

const RECORDS = 2_000;
const BLOBS = 12;
const PREFERENCES = [
  { $type: "app.bsky.actor.defs#adultContentPref", enabled: false },
  { $type: "app.bsky.actor.defs#interestsPref", tags: ["gardens", "trains"] },
  { $type: "app.bsky.actor.defs#personalDetailsPref", birthDate: "1990-01-01T00:00:00.000Z" },
];
/** What an activation tells, after the #identity of the change in the directory. */
const ACTIVATION = ["#account active", "#identity", "#sync"];
/** About the change of the identity, as either server words it. */
const PLC_MAIL = /PLC/i;

/** A server on the way, with a follower. */
interface Place {
  readonly name: string;
  readonly url: string;
  readonly firehose: Firehose;
  /** Of a kith. */
  readonly auditor: FirehoseAuditor | undefined;
  readonly server: TestServer | ReferencePds;
}

class Journey implements AsyncDisposable {
  readonly places = new Map<string, Place>();
  readonly #plc: PlcDirectory;
  readonly #sink: SmtpSink;

  constructor(plc: PlcDirectory, sink: SmtpSink) {
    this.#plc = plc;
    this.#sink = sink;
  }

  async open(name: string, kind: "kith" | "reference", domain = ".test"): Promise<Place> {
    const env = {
      PDS_DID_PLC_URL: this.#plc.url,
      ...this.#sink.env(),
      PDS_SERVICE_HANDLE_DOMAINS: domain,
    };
    const appView = {
      PDS_BSKY_APP_VIEW_URL: "http://localhost:1",
      PDS_BSKY_APP_VIEW_DID: "did:web:localhost",
    };
    const server =
      kind === "kith"
        ? await TestServer.start({ env })
        : await ReferencePds.start({ plc: this.#plc, env: { ...env, ...appView } });
    const auditor = kind === "kith" ? new FirehoseAuditor(keyLookup(this.#plc)) : undefined;
    const firehose = await Firehose.connect(server.url, { onEvent: (event) => auditor?.take(event) });
    const place = { name, url: server.url, firehose, auditor, server };
    this.places.set(name, place);
    return place;
  }

  at(name: string): Place {
    const place = this.places.get(name);
    if (!place) throw new Error(`There is no place "${name}"`);
    return place;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { firehose, server } of this.places.values()) {
      firehose[Symbol.dispose]();
      await server[Symbol.asyncDispose]();
    }
    await this.#sink[Symbol.asyncDispose]();
    await this.#plc[Symbol.asyncDispose]();
  }
}

describe("a member of 2,000 records moves", () => {
  let plc: PlcDirectory;
  let sink: SmtpSink;
  let journey: Journey;
  let alice: Account;
  let repo: JudgedRepo;
  const blobs = new Map<string, Uint8Array>();
  /** The password at the place where the account is. */
  let password = PASSWORD;

  beforeAll(async () => {
    plc = await PlcDirectory.start();
    sink = await new SmtpSink().start();
    journey = new Journey(plc, sink);
    const { url } = await journey.open("first", "reference");
    await journey.open("second", "kith");
    alice = await createAccount(url, "alice", plc);
    await fill(url);
  }, 120_000);
  afterAll(() => journey?.[Symbol.asyncDispose]());

  async function fill(url: string): Promise<void> {
    const { accessJwt: token } = alice;
    for (let i = 0; i < BLOBS; i++) {
      const bytes = newPicture(50_000 + i);
      const { json } = await xrpc(url, "com.atproto.repo.uploadBlob", {
        token,
        body: bytes,
        headers: { "content-type": "image/png" },
      });
      const blob = json.blob as { ref: { $link: string } };
      blobs.set(blob.ref.$link, bytes);
      const images = [{ image: blob, alt: "" }];
      await createRecord(url, alice, {
        record: post(`picture ${i}`, { embed: { $type: "app.bsky.embed.images", images } }),
      });
    }
    for (let done = BLOBS; done < RECORDS; done += 200) {
      const count = Math.min(200, RECORDS - done);
      await applyCreates(
        url,
        alice,
        Array.from({ length: count }, (_, i) => post(`number ${done + i}`)),
      );
    }
    const body = { preferences: PREFERENCES };
    const put = await xrpc(url, "app.bsky.actor.putPreferences", { token, body });
    if (put.status !== 200) throw new Error(`putPreferences answers ${put.status} ${put.error ?? ""}`);
    repo = await judgeRepo(await repoCar(url, alice.did), alice.did, alice.didKey);
    expect(repo.records.size).toBe(RECORDS);
  }

  /** Moves alice as a script does: up to the mailed code, and on with it. */
  async function move(from: Place, to: Place, verb: "in" | "out" = "in"): Promise<string> {
    // The same again at a place where the account has been before.
    const targetPassword = `password of alice at ${to.name}`;
    using migrator = new Migrator({ plc: plc.url, sourcePassword: password, targetPassword });
    const args = [verb, alice.did, "--to", to.url, "--yes"];
    const document = await plc.document(alice.did);
    const marks = [from.firehose.events.length, to.firehose.events.length];
    const first = await migrator.run(args);
    expect([first.code, first.err]).toEqual([EXIT_UNANSWERED, expect.stringContaining("--plc-code")]);
    // Nothing that anybody could see has changed.
    expect(await plc.document(alice.did)).toEqual(document!);
    expect(eventsOf(from, marks[0])).toEqual([]);
    expect(eventsOf(to, marks[1])).toEqual([]);
    const code = await sink.codeTo(alice.email, PLC_MAIL);
    const second = await migrator.run([...args, "--plc-code", code]);
    expect([second.code, second.err]).toEqual([0, ""]);
    expect(migrator.kept()).toEqual([]);
    password = targetPassword;
    return `${first.out}${second.out}`;
  }

  function eventsOf({ firehose }: Place, from = 0): string[] {
    return firehose.events
      .slice(from)
      .filter(({ did }) => did === alice.did)
      .map(describeEvent);
  }

  /** Everything is there, and the DID says so. */
  async function judgeArrival(to: Place, keyBefore: string): Promise<AtpAgent> {
    const document = await plc.document(alice.did);
    expect(document?.service).toMatchObject([{ id: "#atproto_pds", serviceEndpoint: to.url }]);
    // The reference leaves the last commit as it was signed, until the next write.
    const key = to.server instanceof ReferencePds ? keyBefore : signingKeyOf(document);
    const arrived = await judgeRepo(await repoCar(to.url, alice.did), alice.did, key);
    expect([arrived.data, arrived.records]).toEqual([repo.data, repo.records]);
    const agent = new AtpAgent({ service: to.url });
    await agent.login({ identifier: alice.did, password });
    expect([agent.session?.active, agent.session?.did]).toEqual([true, alice.did]);
    for (const [cid, bytes] of blobs) {
      const { data, headers } = await agent.com.atproto.sync.getBlob({ did: alice.did, cid });
      expect([headers["content-type"], Buffer.compare(data, bytes)]).toEqual(["image/png", 0]);
    }
    const token = agent.session?.accessJwt;
    const kept = await xrpc(to.url, "app.bsky.actor.getPreferences", { token });
    const preferences = (kept.json.preferences as { $type: string }[]).filter(
      ({ $type }) => $type !== "app.bsky.actor.defs#declaredAgePref",
    );
    expect(preferences).toEqual(PREFERENCES);
    return agent;
  }

  async function judgeLeft(from: Place, mark: number): Promise<void> {
    const isLast = (event: Event) => event.did === alice.did && event.type === "#account";
    await from.firehose.find("the deactivation", isLast, mark);
    expect(eventsOf(from, mark)).toEqual(["#account deactivated"]);
    const status = await xrpc(from.url, "com.atproto.sync.getRepoStatus", { params: { did: alice.did } });
    expect(status.json).toMatchObject({ did: alice.did, active: false, status: "deactivated" });
  }

  /** Posts, and the posts are on the firehose under the key of now. */
  async function postAt(place: Place, agent: AtpAgent): Promise<void> {
    const { uri } = await agent.post({ text: `hello from ${place.name}` });
    const rkey = uri.split("/").at(-1) ?? "";
    await place.firehose.find(
      "the post",
      ({ type, body }) =>
        type === "#commit" && (body.ops as { path: string }[]).some(({ path }) => path.endsWith(rkey)),
    );
    place.firehose.assertClean();
    await place.auditor?.finish();
    await agent.app.bsky.feed.post.delete({ repo: alice.did, rkey });
    const { records } = await judgeRepo(
      await repoCar(place.url, alice.did),
      alice.did,
      signingKeyOf(await plc.document(alice.did)),
    );
    expect(records).toEqual(repo.records);
  }

  /** One whole move, judged. */
  async function journeyTo(from: Place, to: Place, verb?: "in" | "out"): Promise<string> {
    const [leaving, arriving] = [from.firehose.events.length, to.firehose.events.length];
    const keyBefore = signingKeyOf(await plc.document(alice.did));
    const out = await move(from, to, verb);
    const agent = await judgeArrival(to, keyBefore);
    await judgeLeft(from, leaving);
    await to.firehose.find("the #sync", ({ did, type }) => did === alice.did && type === "#sync", arriving);
    expect(eventsOf(to, arriving)).toEqual(["#identity", ...ACTIVATION]);
    await postAt(to, agent);
    return out;
  }

  test("from the reference to kith", async () => {
    const out = await journeyTo(journey.at("first"), journey.at("second"));
    expect(out).toContain(
      `records ${RECORDS} there, ${RECORDS} here; blobs ${BLOBS} there, ${BLOBS} of ${BLOBS} here`,
    );
    expect(out).toContain(`brought ${PREFERENCES.length} preferences over`);
  });

  test("on to a second kith", async () => {
    await journeyTo(journey.at("second"), await journey.open("third", "kith"));
  });

  test("out of it to a reference again", async () => {
    await journeyTo(journey.at("third"), await journey.open("fourth", "reference"), "out");
    expect(await plc.log(alice.did)).toHaveLength(4);
  });

  test("and back to the first kith, where the deactivated account still is", async () => {
    await journeyTo(journey.at("fourth"), journey.at("second"));
  });
});
