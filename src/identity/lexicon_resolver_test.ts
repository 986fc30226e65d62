import { expect, test } from "bun:test";
import {
  buildCommit,
  cidOfCbor,
  encodeCar,
  encodeCbor,
  MemoryBlocks,
  recordProof,
  signCommit,
  signerFromPrivateKey,
} from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { createLexiconResolver, type LexiconResolverOptions } from "./lexicon_resolver.ts";

const NSID = "com.example.lab.note";
const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const SIGNER = signerFromPrivateKey("k256", new Uint8Array(32).fill(3));
const STRANGER = signerFromPrivateKey("k256", new Uint8Array(32).fill(4));
const LEXICON = { $type: "com.atproto.lexicon.schema", lexicon: 1, id: NSID, defs: {} };
const absent = Object.assign(new Error("queryTxt ENOTFOUND"), { code: "ENOTFOUND" });
const silent = Object.assign(new Error("queryTxt ETIMEOUT"), { code: "ETIMEOUT" });

function documentOf(didKey: string, endpoint = "https://pds.example.com") {
  const publicKeyMultibase = didKey.slice("did:key:".length);
  return {
    id: DID,
    verificationMethod: [{ id: "#atproto", type: "Multikey", controller: DID, publicKeyMultibase }],
    service: [{ id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: endpoint }],
  };
}

/** The proof of a record, or of its absence where there is none. */
function proofOf(record: object | undefined, signer = SIGNER): Uint8Array {
  const path = `com.atproto.lexicon.schema/${NSID}`;
  const bytes = encodeCbor(record ?? LEXICON);
  const write = {
    action: "create" as const,
    path: record ? path : `${path}.other`,
    record: { cid: cidOfCbor(bytes), bytes },
  };
  const blocks = new MemoryBlocks([]);
  const draft = buildCommit({ did: DID, head: null, writes: [write], rev: "3jzfcijpj2z2a", blocks });
  const signed = signCommit(draft, signer);
  blocks.add([signed.commit, ...signed.newBlocks]);
  return encodeCar([signed.head.commit], recordProof(signed.head, { path, blocks }).blocks);
}

interface World {
  txt?: string[][] | Error;
  /** By turns: what a fresh document is. */
  documents?: (object | KithError)[];
  answer?: [number, Uint8Array] | KithError;
  more?: Partial<LexiconResolverOptions>;
}

function setUp({ txt = [[`did=${DID}`]], documents = [documentOf(SIGNER.didKey)], answer, more }: World) {
  const asked: string[] = [];
  const resolver = createLexiconResolver({
    timeoutMs: 1000,
    devMode: false,
    allowHttp: false,
    resolveTxt: async (name) => {
      asked.push(name);
      if (txt instanceof Error) throw txt;
      return txt;
    },
    dids: {
      resolve: async (did, { fresh = false } = {}) => {
        asked.push(`${did}${fresh ? " anew" : ""}`);
        const document = documents[fresh ? documents.length - 1 : 0];
        if (document instanceof KithError) throw document;
        return document as never;
      },
    },
    safeFetch: async (url) => {
      asked.push(url);
      const given = answer ?? [200, proofOf(LEXICON)];
      if (given instanceof KithError) throw given;
      return { status: given[0], headers: new Headers(), url, body: given[1] };
    },
    ...more,
  });
  return { resolver, asked };
}

test("LexiconResolver asks the DNS, the DID's document and its PDS, in this order, and takes the record", async () => {
  const { resolver, asked } = setUp({});
  expect(await resolver.resolve(NSID)).toEqual({
    nsid: NSID,
    uri: `at://${DID}/com.atproto.lexicon.schema/${NSID}`,
    cid: expect.stringMatching(/^bafyrei/),
    bytes: encodeCbor(LEXICON),
  });
  expect(asked).toEqual([
    "_lexicon.lab.example.com",
    DID,
    `https://pds.example.com/xrpc/com.atproto.sync.getRecord?did=did%3Aplc%3Aewvi7nxzyoun6zhxrhs64oiz&collection=com.atproto.lexicon.schema&rkey=${NSID}`,
  ]);
});

test("LexiconResolver asks for the document anew where the signature is not by the key of the one at hand", async () => {
  const documents = [documentOf(STRANGER.didKey), documentOf(SIGNER.didKey)];
  const { resolver, asked } = setUp({ documents });
  expect((await resolver.resolve(NSID)).nsid).toBe(NSID);
  expect(asked).toContain(`${DID} anew`);
});

test("LexiconResolver asks the DNS nothing where the authority is set", async () => {
  const { resolver, asked } = setUp({ txt: silent, more: { authorityDid: DID } });
  expect((await resolver.resolve(NSID)).nsid).toBe(NSID);
  expect(asked[0]).toBe(DID);
});

const plain = (text: string): Uint8Array => new TextEncoder().encode(text);
test.each([
  [
    "the DNS has nothing",
    { txt: absent },
    "lexicon_not_found",
    'no text record of "_lexicon.lab.example.com"',
  ],
  ["the DNS names no DID", { txt: [["did=me"]] }, "lexicon_not_found", "names a DID"],
  ["the DNS names two", { txt: [[`did=${DID}`], ["did=did:web:a.b"]] }, "lexicon_not_found", "several DIDs"],
  ["the DNS is silent", { txt: silent }, "upstream_failure", "the DNS did not answer"],
  [
    "the DID is gone",
    { documents: [new KithError("did_deactivated", "gone")] },
    "lexicon_not_found",
    "could not be resolved",
  ],
  [
    "the directory is down",
    { documents: [new KithError("timeout", "late")] },
    "timeout",
    "could not be resolved",
  ],
  ["there is no PDS", { documents: [{ id: DID }] }, "lexicon_not_found", "has no PDS"],
  [
    "the PDS is at http",
    { documents: [documentOf(SIGNER.didKey, "http://a.b")] },
    "lexicon_not_found",
    "has no PDS",
  ],
  [
    "there is no key",
    { documents: [{ ...documentOf(""), verificationMethod: [] }] },
    "lexicon_not_found",
    "no signing key",
  ],
  ["the PDS knows nothing", { answer: [400, plain("{}")] }, "lexicon_not_found", "answered 400"],
  ["the PDS is busy", { answer: [429, plain("{}")] }, "upstream_failure", "answered 429"],
  ["the PDS fails", { answer: [502, plain("{}")] }, "upstream_failure", "answered 502"],
  ["the PDS is not there", { answer: new KithError("upstream_failure", "gone") }, "upstream_failure", "gone"],
  [
    "the answer is no CAR",
    { answer: [200, plain("<html>")] },
    "lexicon_not_found",
    "the proof of its record",
  ],
  [
    "the proof is forged",
    { answer: [200, proofOf(LEXICON, STRANGER)] },
    "lexicon_not_found",
    "the proof of its record",
  ],
  [
    "it proves its absence",
    { answer: [200, proofOf(undefined)] },
    "lexicon_not_found",
    "has not published it",
  ],
  [
    "the record is of another type",
    { answer: [200, proofOf({ ...LEXICON, $type: "a.b.c" })] },
    "lexicon_not_found",
    "not its document",
  ],
  [
    "it is of another version",
    { answer: [200, proofOf({ ...LEXICON, lexicon: 2 })] },
    "lexicon_not_found",
    "not its document",
  ],
  [
    "it is of another NSID",
    { answer: [200, proofOf({ ...LEXICON, id: "a.b.c" })] },
    "lexicon_not_found",
    "not its document",
  ],
  [
    "it is too large",
    { answer: [200, proofOf({ ...LEXICON, x: "x".repeat(262_144) })] },
    "lexicon_not_found",
    "262144 at most",
  ],
] as [string, World, string, string][])("LexiconResolver fails where %s", async (_, world, code, why) => {
  const error = await setUp(world)
    .resolver.resolve(NSID)
    .catch((thrown: unknown) => thrown);
  if (!isKithError(error)) throw error;
  expect(error.code).toBe(code as KithError["code"]);
  expect(error.message).toContain(why);
});

test("LexiconResolver asks nobody for domains that are none, but for .test in dev mode", async () => {
  for (const nsid of ["local.printer.note", "onion.a.note", "test.lab.note"]) {
    const { resolver, asked } = setUp({});
    expect(await resolver.resolve(nsid).catch((error: KithError) => error.code)).toBe("lexicon_not_found");
    expect(asked).toEqual([]);
  }
  const { resolver, asked } = setUp({ txt: absent, more: { devMode: true } });
  await resolver.resolve("test.lab.note").catch(() => undefined);
  expect(asked).toEqual(["_lexicon.lab.test"]);
});
