/** Every method at once: those that are others' go on to their service, as they came and with the right token; ours never do. */
import { afterAll, describe, expect, test } from "bun:test";
import { schemas } from "@atproto/api";
import { AppView } from "../app_view.ts";
import { type Account, type Call, xrpc } from "../client.ts";
import owners from "../method_owners.json";
import { useStage } from "../stage.ts";

interface Lexicon {
  readonly id: string;
  readonly defs: { readonly main?: { readonly type: string } };
}

const KINDS: ReadonlySet<string> = new Set(["query", "procedure"]);
/** Of com.atproto, chat.bsky, app.bsky and tools.ozone, as the official client has them. */
const ALL = (schemas as unknown as Lexicon[])
  .map(({ id, defs }) => ({ nsid: id, kind: defs.main?.type ?? "" }))
  .filter(({ kind }) => KINDS.has(kind));
const OTHERS: Readonly<Record<string, { kind: string; call: string }>> = owners.others;
/** Answered here, with what the service says that the call names. */
const WITH_SERVICE: ReadonlySet<string> = new Set(owners.withService);
/** Of the apps' methods, those that are the PDS's own. */
const isOthers = (nsid: string): boolean =>
  nsid in OTHERS || (!nsid.startsWith("com.atproto.") && !WITH_SERVICE.has(nsid));

const passedOn = [
  ...Object.entries(OTHERS).map(([nsid, { kind, call }]) => ({ nsid, kind, call })),
  ...ALL.filter(({ nsid }) => !(nsid in OTHERS) && isOthers(nsid)).map((one) => ({
    ...one,
    call: "passed on",
  })),
];
const ours = ALL.filter(({ nsid }) => !isOthers(nsid) && !WITH_SERVICE.has(nsid));

describe("every method", () => {
  const appView = AppView.start();
  const other = AppView.start();
  const mod = AppView.start();
  const holder = useStage({
    env: {
      ...appView.env,
      PDS_MOD_SERVICE_URL: mod.url,
      PDS_MOD_SERVICE_DID: mod.did,
      // Without it resolveLexicon is another service's.
      KITH_LEXICON_RESOLUTION: "true",
    },
    onReady: (stage) => {
      for (const service of [appView, other, mod]) service.trust(stage.plc);
    },
  });
  afterAll(async () => {
    for (const service of [appView, other, mod]) await service[Symbol.asyncDispose]();
  });
  const callOf = (kind: string, { accessJwt }: Account, headers: Call["headers"] = {}): Call => ({
    token: accessJwt,
    headers,
    ...(kind === "procedure" ? { body: { some: "input" } } : { params: { some: ["in", "put"] } }),
  });
  const heard = (): number => appView.calls.length + other.calls.length + mod.calls.length;

  test("the lists hold what they should", () => {
    expect(passedOn.length).toBeGreaterThan(200);
    expect(ours.length).toBeGreaterThan(45);
    for (const nsid of WITH_SERVICE) expect(ALL.map((one) => one.nsid)).toContain(nsid);
  });

  test.each(passedOn.filter(({ call }) => call === "passed on"))("$nsid goes on", async ({ nsid, kind }) => {
    const { stage } = holder;
    const byDefault = nsid.startsWith("tools.ozone.") ? mod : appView;
    const ways: { service: AppView; headers: Record<string, string> }[] = [
      { service: byDefault, headers: {} },
      { service: other, headers: { "atproto-proxy": `${other.did}#bsky_chat` } },
    ];
    for (const { service, headers } of ways) {
      const before = heard();
      const answer = await xrpc(stage.url, nsid, callOf(kind, stage.alice, headers));
      expect({ status: answer.status, text: new TextDecoder().decode(answer.bytes) }).toMatchObject({
        status: 200,
      });
      expect(heard()).toBe(before + 1);
      const { claims, params, body } = service.last;
      expect(service.last.nsid).toBe(nsid);
      expect(claims).toMatchObject({ iss: stage.alice.did, aud: service.did, lxm: nsid });
      if (kind === "procedure") expect(new TextDecoder().decode(body)).toBe('{"some":"input"}');
      else expect(params.getAll("some")).toEqual(["in", "put"]);
    }
    const before = heard();
    expect(await xrpc(stage.url, nsid, { method: kind === "procedure" ? "POST" : "GET" })).toMatchObject({
      status: 401,
      error: "AuthMissing",
    });
    expect(heard()).toBe(before);
  });

  test.each(passedOn.filter(({ call }) => call === "refused"))(
    "$nsid never goes on",
    async ({ nsid, kind }) => {
      const { stage } = holder;
      const before = heard();
      const ways: Record<string, string>[] = [{}, { "atproto-proxy": `${other.did}#bsky_chat` }];
      for (const headers of ways) {
        const answer = await xrpc(stage.url, nsid, callOf(kind, stage.alice, headers));
        expect(answer).toMatchObject({ status: 400, error: "InvalidToken" });
      }
      expect(heard()).toBe(before);
    },
  );

  test("what is answered here does not go on, whatever the call says", async () => {
    const { stage } = holder;
    const untouched = await stage.account("untouched");
    const before = heard();
    const headers = { "atproto-proxy": `${other.did}#bsky_chat` };
    for (const { nsid, kind } of ours) {
      for (const call of [
        callOf(kind, untouched, headers),
        { headers, method: kind === "procedure" ? "POST" : "GET" },
      ]) {
        const { status, json, error } = await xrpc(stage.url, nsid, call);
        expect({ nsid, status, error, isOurs: json.nsid === undefined && status !== 501 }).toEqual({
          nsid,
          status,
          error,
          isOurs: true,
        });
        if (status === 500) throw new Error(`${nsid} fails: ${JSON.stringify(json)}`);
      }
    }
    expect(heard()).toBe(before);
  });
});
