import { expect, test } from "bun:test";
import { KithError } from "../../errors.ts";
import { ProxyTargets } from "./proxy_targets.ts";

const service = (name: string) => ({ url: `https://${name}.test`, did: `did:web:${name}.test` });
const APP_VIEW = service("app");
const MOD = service("mod");
const REPORTS = service("reports");
const asked: string[] = [];
const dids = {
  resolve: async (did: string) => {
    asked.push(did);
    if (did === "did:web:down.test") throw new KithError("upstream_failure", "no answer");
    if (did !== "did:web:other.test") throw new KithError("did_not_found", "no such DID");
    const endpoint = (id: string, serviceEndpoint: string) => ({ id, type: "X", serviceEndpoint });
    return {
      id: did,
      service: [
        endpoint("#svc", "https://svc.other.test"),
        endpoint("#plain", "http://svc.other.test"),
        endpoint("#path", "https://svc.other.test/path"),
      ],
    };
  },
};
const targets = new ProxyTargets({
  appView: APP_VIEW,
  modService: MOD,
  reportService: REPORTS,
  dids,
  allowHttp: false,
});
const none = new ProxyTargets({ dids, allowHttp: true });
const request = (header?: string) =>
  new Request("https://pds.test/", { headers: header === undefined ? {} : { "atproto-proxy": header } });

test("ProxyTargets.wanted gives the default service of a method", () => {
  const didOf = (nsid: string) => targets.wanted(request(), nsid)?.did;
  expect(didOf("app.bsky.feed.getTimeline")).toBe(APP_VIEW.did);
  expect(didOf("tools.ozone.team.listMembers")).toBe(MOD.did);
  expect(didOf("com.atproto.moderation.createReport")).toBe(REPORTS.did);
  expect(none.wanted(request(), "app.bsky.feed.getTimeline")).toBeUndefined();
  expect(none.appView).toBeUndefined();
});

test("ProxyTargets.wanted prefers the service that the call names", () => {
  const ref = { did: "did:web:other.test", serviceId: "svc" };
  expect(targets.wanted(request("did:web:other.test#svc"), "tools.ozone.team.listMembers")).toEqual(ref);
  expect(none.wanted(request("did:web:other.test#svc"), "a.b.c")).toEqual(ref);
});

test.each([
  "#svc",
  "did:web:a.test",
  "did:web:a.test#",
  "did:web:a.test#a#b",
  "did:web:a.test#a b",
  "web#a",
  `did:web:a.test#${"x".repeat(3_000)}`,
])("ProxyTargets.named refuses the header %p", (header) => {
  expect(() => targets.named(request(header))).toThrow(expect.objectContaining({ code: "invalid_request" }));
});

test("ProxyTargets.resolve asks nobody where the operator has said it", async () => {
  asked.length = 0;
  expect(await targets.resolve({ did: APP_VIEW.did, serviceId: "bsky_appview" })).toEqual({
    ...APP_VIEW,
    serviceId: "bsky_appview",
  });
  expect((await targets.resolve({ did: MOD.did, serviceId: "atproto_labeler" })).url).toBe(MOD.url);
  expect(asked).toEqual([]);
});

test("ProxyTargets.resolve reads the DID document", async () => {
  const of = (serviceId: string, from = targets) =>
    from.resolve({ did: "did:web:other.test", serviceId }).then(
      ({ url }) => url,
      (error: KithError) => error.code,
    );
  expect(await of("svc")).toBe("https://svc.other.test");
  expect(await of("plain")).toBe("invalid_request");
  expect(await of("plain", none)).toBe("http://svc.other.test");
  expect(await of("path")).toBe("invalid_request");
  expect(await of("absent")).toBe("invalid_request");
  const failure = (did: string) =>
    targets.resolve({ did, serviceId: "svc" }).catch((error: KithError) => error.code);
  expect(await failure("did:web:nowhere.test")).toBe("invalid_request");
  expect(await failure("did:web:down.test")).toBe("upstream_failure");
});
