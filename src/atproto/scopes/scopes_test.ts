import { describe, expect, test } from "bun:test";
import { IncludeScope, ScopePermissionsTransition } from "@atproto/oauth-scopes";
import {
  expandInclude,
  formatPermission,
  type Include,
  isScopeText,
  isScopeWithin,
  knownScopes,
  Permissions,
  parsePermission,
  parsePermissionSet,
  valueBeyond,
} from "./mod.ts";

const AUD = "did:web:api.example.com#svc_appview";

describe("parsePermission", () => {
  const rows: [scope: string, canonical: string | undefined][] = [
    ["repo:app.bsky.feed.post", "repo:app.bsky.feed.post"],
    ["repo:app.bsky.feed.post?action=create", "repo:app.bsky.feed.post?action=create"],
    ["repo:app.bsky.feed.post?action=delete&action=create&action=update", "repo:app.bsky.feed.post"],
    ["repo?collection=app.bsky.feed.post", "repo:app.bsky.feed.post"],
    [
      "repo?collection=b.example.x&collection=a.example.x",
      "repo?collection=a.example.x&collection=b.example.x",
    ],
    ["repo?collection=a.example.x&collection=*", "repo:*"],
    ["repo:*", "repo:*"],
    ["repo", undefined],
    ["repo:", undefined],
    ["repo:*?", "repo:*"],
    ["repo:app.bsky.*", undefined],
    ["repo:app.bsky.feed.post?collection=app.bsky.feed.like", undefined],
    ["repo:app.bsky.feed.post?action=read", undefined],
    ["repo:app.bsky.feed.post?colour=red", undefined],
    ["repo:%zz", undefined],
    ["REPO:*", undefined],
    [
      `rpc:com.example.get?aud=${encodeURIComponent(AUD)}`,
      "rpc:com.example.get?aud=did:web:api.example.com%23svc_appview",
    ],
    ["rpc:com.example.get?aud=*", "rpc:com.example.get?aud=*"],
    [`rpc:*?aud=${encodeURIComponent(AUD)}`, "rpc:*?aud=did:web:api.example.com%23svc_appview"],
    ["rpc:*?aud=*", undefined],
    ["rpc?lxm=com.example.get&lxm=*&aud=*", undefined],
    ["rpc:com.example.get", undefined],
    ["rpc:com.example.get?aud=did:web:api.example.com", undefined],
    ["rpc:com.example.get?aud=*&aud=*", undefined],
    ["blob:*/*", "blob:*/*"],
    ["blob:image/*", "blob:image/*"],
    ["blob?accept=image/png&accept=video/*", "blob?accept=image/png&accept=video/*"],
    ["blob:image", undefined],
    ["blob:*", undefined],
    ["blob:*/png", undefined],
    ["blob:image/p*", undefined],
    ["account:email", "account:email"],
    ["account:email?action=read", "account:email"],
    ["account:email?action=manage", "account:email?action=manage"],
    ["account:email?action=read&action=manage", "account:email?action=manage"],
    ["account:status?action=manage", "account:status?action=manage"],
    ["account:password", undefined],
    ["identity:handle", "identity:handle"],
    ["identity:*", "identity:*"],
    ["identity:handle?action=manage", undefined],
    ["include:com.example.app.authFull", "include:com.example.app.authFull"],
    [
      `include:com.example.app.authFull?aud=${encodeURIComponent(AUD)}`,
      "include:com.example.app.authFull?aud=did:web:api.example.com%23svc_appview",
    ],
    ["include:com.example.app.authFull?aud=*", undefined],
    ["__proto__:x", undefined],
    ["toString", undefined],
    ["", undefined],
  ];

  test.each(rows)("%s", (scope, canonical) => {
    const permission = parsePermission(scope);
    expect(permission && formatPermission(permission)).toBe(canonical as string);
  });
});

describe("Permissions", () => {
  const scopes = [
    "",
    "atproto",
    "repo:*",
    "atproto repo:app.bsky.feed.post?action=create repo:app.bsky.feed.like",
    "atproto repo?collection=app.bsky.feed.post&collection=app.bsky.feed.like&action=delete",
    `atproto rpc:app.bsky.feed.getTimeline?aud=${encodeURIComponent(AUD)} rpc:com.example.get?aud=*`,
    `atproto rpc:*?aud=${encodeURIComponent(AUD)}`,
    "atproto blob:image/* blob:video/mp4",
    "atproto blob:*/*",
    "atproto account:email account:repo?action=manage",
    "atproto account:email?action=manage",
    "atproto identity:handle",
    "atproto identity:*",
    "atproto transition:email",
    "atproto transition:generic",
    "atproto transition:generic transition:chat.bsky",
    "atproto nonsense repo:*?x=1",
  ];
  const collections = ["app.bsky.feed.post", "app.bsky.feed.like", "app.bsky.feed.postx"];
  const lxms = ["app.bsky.feed.getTimeline", "com.example.get", "chat.bsky.convo.getLog"];

  test.each(scopes)("agrees with the reference on %p", (scope) => {
    const ours = Permissions.of(scope);
    // The reference leaves it to its callers to ask for `atproto` first.
    const judge = new ScopePermissionsTransition(scope.includes("atproto") ? scope : "");
    for (const collection of collections) {
      for (const action of ["create", "update", "delete"] as const) {
        expect(ours.allowsRepo({ collection, action })).toBe(judge.allowsRepo({ collection, action }));
      }
    }
    for (const lxm of lxms) {
      for (const aud of [AUD, "did:web:other.example#x"]) {
        expect(ours.allowsRpc({ lxm, aud })).toBe(judge.allowsRpc({ lxm, aud }));
      }
    }
    for (const mime of ["image/png", "video/mp4", "video/webm", "nonsense", "image/*"]) {
      expect(ours.allowsBlob(mime)).toBe(
        judge.allowsBlob({ mime }) && mime.includes("/") && !mime.includes("*"),
      );
    }
    for (const attr of ["email", "repo", "status"] as const) {
      for (const action of ["read", "manage"] as const) {
        expect(ours.allowsAccount({ attr, action })).toBe(judge.allowsAccount({ attr, action }));
      }
    }
    for (const attr of ["handle", "*"] as const) {
      // The wildcard holds the handle; the reference says so too.
      expect(ours.allowsIdentity(attr)).toBe(judge.allowsIdentity({ attr }));
    }
  });

  test("chat needs transition:generic too, as the specification of the transition says", () => {
    const lxm = "chat.bsky.convo.getLog";
    expect(Permissions.of("atproto transition:chat.bsky").allowsRpc({ lxm, aud: AUD })).toBe(false);
    expect(
      Permissions.of("atproto transition:generic").allowsRpc({ lxm: "CHAT.bsky.convo.getLog", aud: AUD }),
    ).toBe(false);
  });

  test("parameters and case of a media type do not matter", () => {
    const permissions = Permissions.of("atproto blob:image/*");
    expect(permissions.allowsBlob("IMAGE/PNG")).toBe(true);
    expect(permissions.allowsBlob("image/png; charset=utf-8")).toBe(true);
    expect(permissions.allowsBlob("imagex/png")).toBe(false);
  });
});

describe("permission sets", () => {
  const set = (permissions: unknown[], main: object = {}) => ({
    lexicon: 1,
    id: "com.example.app.authFull",
    defs: { main: { type: "permission-set", title: "Full", permissions, ...main } },
  });
  const entry = (fields: object) => ({ type: "permission", ...fields });
  const rows: [title: string, entry: object, aud: string | undefined][] = [
    ["records of its group", entry({ resource: "repo", collection: ["com.example.app.post"] }), undefined],
    [
      "records below its group",
      entry({ resource: "repo", collection: ["com.example.app.deep.post"] }),
      undefined,
    ],
    [
      "records of another group",
      entry({ resource: "repo", collection: ["com.example.other.post"] }),
      undefined,
    ],
    [
      "records of a name that only begins alike",
      entry({ resource: "repo", collection: ["com.example.apps.post"] }),
      undefined,
    ],
    ["all records", entry({ resource: "repo", collection: ["*"] }), undefined],
    [
      "one good and one foreign",
      entry({ resource: "repo", collection: ["com.example.app.a", "org.x.y"] }),
      undefined,
    ],
    [
      "a collection that is no list",
      entry({ resource: "repo", collection: "com.example.app.post" }),
      undefined,
    ],
    ["a method anywhere", entry({ resource: "rpc", lxm: ["com.example.app.get"], aud: "*" }), undefined],
    [
      "a method at a fixed service",
      entry({ resource: "rpc", lxm: ["com.example.app.get"], aud: AUD }),
      undefined,
    ],
    ["an inherited service", entry({ resource: "rpc", lxm: ["com.example.app.get"], inheritAud: true }), AUD],
    [
      "nothing to inherit",
      entry({ resource: "rpc", lxm: ["com.example.app.get"], inheritAud: true }),
      undefined,
    ],
    [
      "inherited and fixed",
      entry({ resource: "rpc", lxm: ["com.example.app.get"], inheritAud: true, aud: "*" }),
      AUD,
    ],
    ["blobs", entry({ resource: "blob", accept: ["*/*"] }), undefined],
    ["the account", entry({ resource: "account", attr: "email" }), undefined],
    ["another set", entry({ resource: "include", nsid: "com.example.app.other" }), undefined],
    [
      "an unknown parameter",
      entry({ resource: "repo", collection: ["com.example.app.post"], x: 1 }),
      undefined,
    ],
  ];

  test.each(rows)("%s: as the reference", (_title, item, aud) => {
    const include: Include = {
      resource: "include",
      nsid: "com.example.app.authFull",
      ...(aud ? { aud } : {}),
    };
    const ours = parsePermissionSet(set([item]), { nsid: include.nsid });
    const judge = IncludeScope.fromString(formatPermission(include));
    // biome-ignore lint/suspicious/noExplicitAny: the entry is meant to be anything
    const theirs = judge?.toScopes({ type: "permission-set", permissions: [item as any] });
    expect(ours && expandInclude(include, ours).map(formatPermission)).toEqual(theirs);
  });

  test("parsePermissionSet reads titles by language", () => {
    const parsed = parsePermissionSet(set([], { "title:lang": { de: "Alles", x: 1 }, detail: "All of it" }), {
      nsid: "com.example.app.authFull",
    });
    expect([...(parsed?.titles ?? [])]).toEqual([
      ["de", "Alles"],
      ["", "Full"],
    ]);
    expect([...(parsed?.details ?? [])]).toEqual([["", "All of it"]]);
  });

  test.each([null, 3, {}, { id: "com.example.app.authFull", defs: { main: { type: "record" } } }, set([])])(
    "parsePermissionSet refuses what is no set of that name: %p",
    (document) => {
      const nsid = "com.example.app.another";
      expect(parsePermissionSet(document, { nsid })).toBeUndefined();
    },
  );

  test("an include grants what its set does, and nothing without it", () => {
    const nsid = "com.example.app.authFull";
    const parsed = parsePermissionSet(
      set([entry({ resource: "repo", collection: ["com.example.app.post"], action: ["create"] })]),
      { nsid },
    );
    const act = { collection: "com.example.app.post", action: "create" } as const;
    const scope = `atproto include:${nsid}`;
    expect(Permissions.of(scope).allowsRepo(act)).toBe(false);
    const permissions = Permissions.of(scope, new Map(parsed ? [[nsid, parsed]] : []));
    expect(permissions.allowsRepo(act)).toBe(true);
    expect(permissions.allowsRepo({ ...act, action: "delete" })).toBe(false);
    expect(permissions.scopes()).toEqual(["repo:com.example.app.post?action=create"]);
  });
});

describe("scope", () => {
  test("isScopeWithin compares what is meant, not how it is spelt", () => {
    const allowed = "atproto repo?collection=app.bsky.feed.post blob:*/*";
    expect(isScopeWithin("repo:app.bsky.feed.post atproto", allowed)).toBe(true);
    expect(isScopeWithin("atproto repo:app.bsky.feed.like", allowed)).toBe(false);
    expect(isScopeWithin("atproto something:else", allowed)).toBe(true);
  });

  test.each([
    ["atproto repo:*", "atproto repo:app.bsky.feed.post", "repo:*"],
    ["atproto repo?collection=a.example.x repo:b.example.x", "atproto", "repo?collection=a.example.x"],
    ["atproto repo?collection=a.example.x", "atproto repo:a.example.x", undefined],
    ["something:else transition:generic", "atproto", "transition:generic"],
    ["atproto something:else", "atproto", undefined],
  ])("valueBeyond(%p, %p) is %p", (asked, allowed, expected) => {
    expect(valueBeyond(asked, allowed)).toBe(expected as string);
  });

  test("knownScopes drops what grants nothing", () => {
    expect(knownScopes("atproto openid repo:* repo:* rpc:*?aud=* transition:generic")).toEqual([
      "atproto",
      "repo:*",
      "transition:generic",
    ]);
  });

  test.each([
    ["atproto", true],
    ["atproto repo:*", true],
    ["", false],
    [" atproto", false],
    ["atproto  repo:*", false],
    ['atproto "', false],
    ["atproto \\", false],
    ["atproto é", false],
  ])("isScopeText(%p)", (text, expected) => {
    expect(isScopeText(text)).toBe(expected);
  });

  test("isScopeText refuses one that is longer than anybody needs", () => {
    expect(isScopeText("a".repeat(9_000))).toBe(false);
  });
});
