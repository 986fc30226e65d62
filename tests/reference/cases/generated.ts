/** From each method's lexicon: calls by the wrong caller, with the wrong verb, body and type, and with each field spoilt. */
import { schemas } from "@atproto/api";
import type { Call } from "../../client.ts";
import { basic, type Case, type Side } from "../oracle.ts";
import { type Caller, SAMPLES, type Sample } from "./samples.ts";

interface Property {
  readonly type: string;
  readonly format?: string;
  readonly maximum?: number;
  readonly items?: Property;
}

interface Properties {
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Property>>;
}

interface Main {
  readonly type: string;
  readonly parameters?: Properties;
  readonly input?: { readonly encoding: string; readonly schema?: Properties };
}

/** The definition of a method, of the lexicons that the official client comes with. */
function mainOf(nsid: string): Main {
  const defs = schemas.find(({ id }) => id === nsid)?.defs as { readonly main?: Main } | undefined;
  const main = defs?.main;
  if (!main) throw new Error(`There is no lexicon of "${nsid}"`);
  return main;
}

const CREDENTIALS: Readonly<Record<string, (side: Side) => Call>> = {
  nobody: () => ({}),
  "a token that is none": () => ({ token: "garbage" }),
  "a token of another server": () => ({
    token: "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJzdWIiOiJ4IiwiZXhwIjo0MDAwMDAwMDAwfQ.c2ln",
  }),
  "an access token": (side) => ({ token: side.token("gina") }),
  "a refresh token": (side) => ({ token: side.member("gina").refreshJwt }),
  "an app's token": (side) => ({ token: side.token("bob's app") }),
  "the administrator": (side) => ({ headers: side.basic }),
  "a wrong administrator": () => ({ headers: basic("wrong") }),
  "another user of the administrator's": (side) => ({ headers: basic(side.adminPassword, "root") }),
  "a header that is none": () => ({ headers: { authorization: "nonsense" } }),
};

const RIGHT: Readonly<Record<Caller, (side: Side) => Call>> = {
  anybody: () => ({}),
  maybe: () => ({}),
  session: (side) => ({ token: side.token("gina") }),
  full: (side) => ({ token: side.token("gina") }),
  refresh: (side) => ({ token: side.member("gina").refreshJwt }),
  admin: (side) => ({ headers: side.basic }),
};

/** Whose token would do what the sample says, so that a spent one is not sent by them. */
const MAY: Readonly<Record<Caller, readonly string[]>> = {
  anybody: Object.keys(CREDENTIALS),
  maybe: [],
  session: ["an access token", "an app's token"],
  full: ["an access token"],
  refresh: ["a refresh token"],
  admin: ["the administrator"],
};

const WRONG_OF_TYPE: Readonly<Record<string, unknown>> = {
  string: 17,
  integer: "seventeen",
  boolean: "perhaps",
  array: "no list",
  object: "no object",
  union: "no object",
  ref: 17,
  unknown: "no object",
};

const WRONG_OF_FORMAT: Readonly<Record<string, string>> = {
  did: "not-a-did",
  handle: "not a handle",
  "at-identifier": "not an identifier",
  nsid: "nonsense",
  cid: "nonsense",
  "at-uri": "http://nonsense",
  "record-key": "a/b",
  datetime: "tomorrow",
  tid: "nonsense",
};

/** All the cases of one method. */
function casesOf(nsid: string, sample: Sample): Case[] {
  const main = mainOf(nsid);
  const isPost = main.type === "procedure";
  const base = (side: Side): Call => ({
    ...(isPost ? { method: "POST" } : {}),
    ...(sample.params ? { params: sample.params(side) } : {}),
    ...(sample.body ? { body: sample.body(side) } : {}),
  });
  const right = (side: Side): Call => ({ ...base(side), ...RIGHT[sample.caller](side) });
  const one = (title: string, call: (side: Side) => Call): Case => ({ title, to: nsid, call });
  const callers = Object.entries(CREDENTIALS)
    .filter(([who]) => !(sample.isSpent && MAY[sample.caller].includes(who)))
    .map(([who, credentials]) => one(`by ${who}`, (side) => ({ ...base(side), ...credentials(side) })));
  return [
    ...callers,
    one("with the other verb", (side) => ({ ...right(side), ...otherVerb(isPost) })),
    one("with PUT", (side) => ({ ...right(side), method: "PUT" })),
    ...paramCases(main, right).map(([title, call]) => one(title, call)),
    ...(sample.body ? bodyCases(main, right).map(([title, call]) => one(title, call)) : []),
    ...(isPost && !sample.body && !sample.isSpent
      ? [one("with {} as a body", (side) => ({ ...right(side), body: {} }))]
      : []),
  ];
}

function otherVerb(isPost: boolean): Call {
  return isPost ? { method: "GET", body: undefined } : { method: "POST" };
}

type Variant = [title: string, call: (side: Side) => Call];

function paramCases(main: Main, right: (side: Side) => Call): Variant[] {
  const { properties = {}, required = [] } = main.parameters ?? {};
  const change = (values: NonNullable<Call["params"]>) => (side: Side) => {
    const call = right(side);
    return { ...call, params: { ...call.params, ...values } };
  };
  const spoilt = Object.entries(properties).flatMap(([name, property]): Variant[] => {
    const variants: Variant[] = [];
    if (required.includes(name)) variants.push([`without ${name}`, change({ [name]: undefined })]);
    const format = property.format ?? property.items?.format;
    const wrong = format === undefined ? undefined : WRONG_OF_FORMAT[format];
    if (wrong !== undefined) variants.push([`with a bad ${name}`, change({ [name]: wrong })]);
    if (property.type === "integer") {
      variants.push([`with ${name} in words`, change({ [name]: "seventeen" })]);
      variants.push([`with ${name} below none`, change({ [name]: -1 })]);
      if (property.maximum)
        variants.push([`with too much ${name}`, change({ [name]: property.maximum + 1 })]);
    }
    if (property.type === "boolean")
      variants.push([`with ${name} of neither`, change({ [name]: "perhaps" })]);
    if (property.type === "string") variants.push([`with ${name} twice`, twice(name, right)]);
    return variants;
  });
  return main.type === "query" ? [...spoilt, ["with a parameter too many", change({ more: "x" })]] : spoilt;
}

function twice(name: string, right: (side: Side) => Call): (side: Side) => Call {
  return (side) => {
    const call = right(side);
    const value = String(call.params?.[name] ?? "x");
    return { ...call, params: { ...call.params, [name]: [value, value] } };
  };
}

function bodyCases(main: Main, right: (side: Side) => Call): Variant[] {
  const { properties = {}, required = [] } = main.input?.schema ?? {};
  const change = (values: Record<string, unknown>) => (side: Side) => {
    const call = right(side);
    return { ...call, body: { ...(call.body as object), ...values } };
  };
  const raw = (body: string | undefined, type?: string) => (side: Side) => {
    const call = right(side);
    return { ...call, body, headers: { ...call.headers, ...(type ? { "content-type": type } : {}) } };
  };
  const spoilt = Object.entries(properties).flatMap(([name, property]): Variant[] => {
    const wrong = property.format === undefined ? undefined : WRONG_OF_FORMAT[property.format];
    return [
      ...(required.includes(name) ? ([[`without ${name}`, change({ [name]: undefined })]] as Variant[]) : []),
      [`with ${name} of another type`, change({ [name]: WRONG_OF_TYPE[property.type] })],
      [`with ${name} of null`, change({ [name]: null })],
      ...(wrong === undefined ? [] : ([[`with a bad ${name}`, change({ [name]: wrong })]] as Variant[])),
    ];
  });
  const text = (side: Side) => JSON.stringify(right(side).body);
  return [
    ...spoilt,
    ["without a body", raw(undefined)],
    ["with broken JSON", raw("{", "application/json")],
    ["with a list for a body", raw("[]", "application/json")],
    ["with null for a body", raw("null", "application/json")],
    ["as text", (side) => raw(text(side), "text/plain")(side)],
    ["as JSON with a charset", (side) => raw(text(side), "application/json; charset=utf-8")(side)],
  ];
}

/** Called with what nobody would send; a spent sample's right call is never among them. */
export const generated: readonly Case[] = [...SAMPLES].flatMap(([nsid, sample]) =>
  casesOf(nsid, sample).filter(
    ({ title }) => !(sample.isSpent && /too many|charset|of null|with a bad|without a body/.test(title)),
  ),
);
