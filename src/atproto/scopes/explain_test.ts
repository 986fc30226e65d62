import { expect, test } from "bun:test";
import { explain } from "./explain.ts";
import { type PermissionSet, parsePermissionSet } from "./permission_set.ts";

const NSID = "com.example.app.full";

function setsOf(permissions: readonly unknown[]): Map<string, PermissionSet> {
  const document = { id: NSID, defs: { main: { type: "permission-set", title: "All", permissions } } };
  const set = parsePermissionSet(document, { nsid: NSID });
  return new Map(set ? [[NSID, set]] : []);
}

test("explain puts each value into its group, in the order of the groups", () => {
  const { groups, unknown } = explain(
    "identity:handle account:email rpc:a.b.c?aud=did:web:x.example%23svc blob:image/* repo:a.b.c transition:generic atproto",
  );
  expect(groups.map(({ name }) => name)).toEqual([
    "session",
    "whole",
    "records",
    "files",
    "services",
    "account",
    "identity",
  ]);
  expect(unknown).toEqual([]);
});

test("explain keeps a value as it was asked for", () => {
  const scope = "repo?collection=app.bsky.feed.post&action=create";
  expect(explain(scope).groups[0]?.scopes[0]?.scope).toBe(scope);
});

test("explain: what grants nothing is unknown", () => {
  const values = [
    "nonsense",
    "repo:not",
    "rpc:*?aud=*",
    "transition:chat.bsky",
    "transition:unknown",
    `include:${NSID}`,
  ];
  expect(explain(values.join(" "))).toEqual({ groups: [], unknown: values });
  expect(
    explain(`include:${NSID}`, setsOf([{ resource: "repo", collection: ["org.other.thing"] }])).unknown,
  ).toEqual([`include:${NSID}`]);
});

const RISKS: readonly [string, string | undefined][] = [
  ["atproto", undefined],
  ["repo:app.bsky.feed.post", undefined],
  ["repo:*?action=create", undefined],
  ["repo:*?action=update", "records"],
  ["repo:*", "records"],
  ["blob:*/*", undefined],
  ["rpc:app.bsky.feed.getTimeline?aud=*", undefined],
  ["rpc:*?aud=did:web:x.example%23svc", "services"],
  ["rpc:chat.bsky.convo.getLog?aud=did:web:x.example%23svc", "private"],
  ["rpc:CHAT.bsky.convo.getLog?aud=did:web:x.example%23svc", "private"],
  ["account:email", undefined],
  ["account:email?action=manage", "takeover"],
  ["account:repo?action=manage", "all"],
  ["account:status?action=manage", "all"],
  ["identity:handle", "name"],
  ["identity:*", "takeover"],
  ["transition:generic", "all"],
  ["transition:email", undefined],
];
for (const [scope, risk] of RISKS) {
  test(`explain: the risk of ${scope} is ${risk ?? "none"}`, () => {
    expect(explain(scope).groups[0]?.scopes[0]?.risk).toBe(risk as "all" | undefined);
  });
}

test("explain: a set holds what it grants", () => {
  const sets = setsOf([
    { resource: "repo", collection: ["com.example.app.thing"] },
    { resource: "repo", collection: ["org.other.thing"] },
  ]);
  const meaning = explain(`atproto include:${NSID}`, sets).groups[1]?.scopes[0]?.meaning;
  expect(meaning?.resource === "include" && meaning.permissions).toEqual([
    { resource: "repo", collections: ["com.example.app.thing"], actions: ["create", "update", "delete"] },
  ]);
});
