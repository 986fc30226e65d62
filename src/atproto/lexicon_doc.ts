/**
 * Lexicon documents that others have published: reading one, and making of a record type in it, with what it refers to,
 * something that judges records as the bundled schemas do. https://atproto.com/specs/lexicon
 */
import {
  findExternalReferences,
  type LexArray,
  type LexDefinableField,
  type LexInteger,
  type LexiconDoc,
  type LexObject,
  type LexRecord,
  type LexRefUnion,
  type LexString,
  lexiconDoc,
} from "@atcute/lexicon-doc";
import * as v from "@atcute/lexicons/validations";
import { KithError } from "../errors.ts";
import { bundledDefinition } from "./_bundled_lexicons.ts";
import type { RecordLexicon } from "./lexicon.ts";

export type { LexiconDoc } from "@atcute/lexicon-doc";
export { isBundledLexicon } from "./_bundled_lexicons.ts";

/** Fields of all the definitions that one record type takes. */
export const LEXICON_FIELDS_MAX = 4_000;
/** Quoted pieces of a document. */
const QUOTED_CHARS_MAX = 200;

/** One definition of a lexicon. */
export interface LexiconRef {
  readonly nsid: string;
  readonly name: string;
}

/** The lexicon document of `nsid` in a decoded or parsed value. KithError invalid_request where it is none. */
export function parseLexiconDoc(json: unknown, { nsid }: { nsid: string }): LexiconDoc {
  const parsed = lexiconDoc["~standard"].validate(json);
  if (parsed instanceof Promise) throw new TypeError("The schema of lexicon documents is asynchronous");
  if (parsed.issues) {
    const [issue] = parsed.issues;
    const place = issue?.path?.map((part) => (typeof part === "object" ? part.key : part)).join(".");
    throw refusal(nsid, `${place ? `${place}: ` : ""}${issue?.message ?? "it is malformed"}`);
  }
  if (parsed.value.id !== nsid) throw refusal(nsid, `it is the document of "${quote(parsed.value.id)}"`);
  return parsed.value as LexiconDoc;
}

/** What a definition refers to in other documents, itself or through others of its own document. */
export function lexiconReferences(doc: LexiconDoc, name: string): LexiconRef[] {
  if (!Object.hasOwn(doc.defs, name)) return [];
  const refs = [...findExternalReferences(doc, name)].map((ref) => parseRef(ref, doc.id));
  return refs.filter(({ nsid, name }) => bundledDefinition(nsid, name) === undefined);
}

/**
 * What judges the records of a type, from its document and those that it refers to. Bundled definitions go before any
 * document. Members of an open union that are not at hand are let through unjudged; anything else that is missing or
 * cannot be made out is KithError invalid_request.
 */
export function recordLexiconOf(nsid: string, docs: ReadonlyMap<string, LexiconDoc>): RecordLexicon {
  const doc = docs.get(nsid);
  const main = doc && Object.hasOwn(doc.defs, "main") ? doc.defs.main : undefined;
  if (main?.type !== "record") throw refusal(nsid, "it does not define a record type");
  return new SchemaBuilder(nsid, docs).define({ nsid, name: "main" }) as unknown as RecordLexicon;
}

/** Makes schemas of definitions: each once, so that those that refer to each other in a circle meet their end. */
class SchemaBuilder {
  readonly #nsid: string;
  readonly #docs: ReadonlyMap<string, LexiconDoc>;
  readonly #made = new Map<string, v.BaseSchema>();
  #fields = 0;

  constructor(nsid: string, docs: ReadonlyMap<string, LexiconDoc>) {
    this.#nsid = nsid;
    this.#docs = docs;
  }

  define(ref: LexiconRef): v.BaseSchema {
    const id = idOf(ref);
    const known = this.#made.get(id) ?? bundledDefinition(ref.nsid, ref.name);
    if (known) return known;
    const defs = this.#docs.get(ref.nsid)?.defs;
    const def = defs && Object.hasOwn(defs, ref.name) ? defs[ref.name] : undefined;
    if (def === undefined) {
      throw refusal(this.#nsid, `it refers to "${quote(id)}", which is not there`);
    }
    switch (def.type) {
      case "object":
        return this.#object(def, { ref, $type: v.optional(v.literal(id)) });
      case "record":
        return this.#record(def, ref);
      case "token":
        return v.literal(id);
      case "array":
        return this.#array(def, ref, id);
      case "query":
      case "procedure":
      case "subscription":
      case "permission-set":
        throw refusal(this.#nsid, `it refers to "${quote(id)}", which is no data`);
      default:
        return this.#field(def, ref);
    }
  }

  #record(def: LexRecord, ref: LexiconRef): v.BaseSchema {
    const id = idOf(ref);
    // Referred to again from within, the record is met as its object.
    const object = this.#object(def.record, { ref, $type: v.literal(id) });
    const schema = v.record(recordKey(def.key), object as v.ObjectSchema);
    this.#made.set(id, schema);
    return schema;
  }

  /** The shape is filled once the schema is known by its name: it may contain itself. */
  #object(def: LexObject, { ref, $type }: { ref: LexiconRef; $type: v.BaseSchema }): v.BaseSchema {
    const shape: Record<string, v.BaseSchema> = { $type };
    const schema = v.object(shape);
    this.#made.set(idOf(ref), schema);
    const { required = [], nullable = [], properties = {} } = def;
    for (const [name, spec] of Object.entries(properties)) {
      // The validators look properties up by name, and would find what every object inherits.
      if (name in {}) throw refusal(this.#nsid, `a property is named "${name}"`);
      if (name === "$type") continue;
      const field = this.#field(spec, ref);
      const present = nullable.includes(name) ? v.nullable(field) : field;
      const isRequired = required.includes(name) && !("default" in spec);
      shape[name] = isRequired ? present : v.optional(present);
    }
    return schema;
  }

  #field(spec: LexDefinableField, ref: LexiconRef): v.BaseSchema {
    this.#fields += 1;
    if (this.#fields > LEXICON_FIELDS_MAX) throw refusal(this.#nsid, "it has too many fields");
    switch (spec.type) {
      case "boolean":
        return spec.const === undefined ? v.boolean() : v.literal(spec.const);
      case "integer":
        return integer(spec);
      case "string":
        return text(spec);
      case "bytes":
        return constrained(v.bytes(), [range(v.bytesSize, spec.minLength, spec.maxLength)]);
      case "cid-link":
        return v.cidLink();
      case "blob": {
        const accept = spec.accept?.includes("*/*") ? undefined : spec.accept;
        return constrained(v.blob(), [
          spec.maxSize === undefined ? undefined : v.blobSize(spec.maxSize),
          accept === undefined || accept.length === 0 ? undefined : v.blobAccept(accept),
        ]);
      }
      case "unknown":
        return v.unknown();
      case "array":
        return this.#array(spec, ref);
      case "ref":
        return this.define(this.#parseRef(spec.ref, ref));
      case "union":
        return this.#union(spec, ref);
    }
  }

  /** One with a name may contain itself. */
  #array(spec: LexArray, ref: LexiconRef, id?: string): v.BaseSchema {
    let item: v.BaseSchema = v.unknown();
    const schema = constrained(
      v.array(() => item),
      [range(v.arrayLength, spec.minLength, spec.maxLength)],
    );
    if (id !== undefined) this.#made.set(id, schema);
    item = this.#field(spec.items, ref);
    return schema;
  }

  #union(spec: LexRefUnion, ref: LexiconRef): v.BaseSchema {
    const members = spec.refs.flatMap((text) => {
      const target = this.#parseRef(text, ref);
      const isHere = this.#docs.has(target.nsid) || bundledDefinition(target.nsid, target.name) !== undefined;
      if (!isHere && spec.closed !== true) return [];
      const member = this.define(target);
      if (member.type === "object" || member.type === "record") return [member as v.ObjectSchema];
      throw refusal(this.#nsid, `a union of it has "${quote(text)}", which is no object`);
    });
    return v.variant(members, spec.closed === true);
  }

  #parseRef(text: string, from: LexiconRef): LexiconRef {
    return parseRef(text, from.nsid);
  }
}

function parseRef(text: string, from: string): LexiconRef {
  const at = text.indexOf("#");
  return {
    nsid: at === 0 ? from : at < 0 ? text : text.slice(0, at),
    name: at < 0 ? "main" : text.slice(at + 1),
  };
}

/** The name of a definition as `$type` has it. */
function idOf({ nsid, name }: LexiconRef): string {
  return name === "main" ? nsid : `${nsid}#${name}`;
}

function recordKey(key: string | undefined): v.StringSchema {
  const schema = ((): v.BaseSchema => {
    if (key === "tid") return v.tidString();
    if (key === "nsid") return v.nsidString();
    if (key?.startsWith("literal:")) return v.literal(key.slice("literal:".length));
    return v.string();
  })();
  return schema as v.StringSchema;
}

function integer(spec: LexInteger): v.BaseSchema {
  if (spec.const !== undefined) return v.literal(spec.const);
  if (spec.enum !== undefined) return v.literalEnum(spec.enum);
  const { minimum, maximum } = spec;
  if (minimum === undefined && maximum === undefined) return v.integer();
  return constrained(v.integer(), [
    v.integerRange(minimum ?? Number.MIN_SAFE_INTEGER, maximum ?? Number.MAX_SAFE_INTEGER),
  ]);
}

function text(spec: LexString): v.BaseSchema {
  if (spec.const !== undefined) return v.literal(spec.const);
  if (spec.enum !== undefined) return v.literalEnum(spec.enum);
  return constrained(spec.format === undefined ? v.string() : FORMATS[spec.format](), [
    range(v.stringLength, spec.minLength, spec.maxLength),
    range(v.stringGraphemes, spec.minGraphemes, spec.maxGraphemes),
  ]);
}

const FORMATS: Readonly<Record<NonNullable<LexString["format"]>, () => v.BaseSchema>> = {
  "at-identifier": v.actorIdentifierString,
  "at-uri": v.resourceUriString,
  cid: v.cidString,
  datetime: v.datetimeString,
  did: v.didString,
  handle: v.handleString,
  language: v.languageCodeString,
  nsid: v.nsidString,
  "record-key": v.recordKeyString,
  tid: v.tidString,
  uri: v.genericUriString,
};

function range<C>(
  make: (min: number, max: number) => C,
  min: number | undefined,
  max: number | undefined,
): C | undefined {
  return min === undefined && max === undefined ? undefined : make(min ?? 0, max ?? Number.POSITIVE_INFINITY);
}

/** `constrain` asks for a tuple of the very type of the schema; here neither is known before the document is read. */
function constrained(schema: v.BaseSchema, constraints: readonly (object | undefined)[]): v.BaseSchema {
  const given = constraints.filter((constraint) => constraint !== undefined);
  return given.length === 0 ? schema : v.constrain(schema, given as never);
}

function refusal(nsid: string, why: string): KithError {
  return new KithError("invalid_request", `Could not use the lexicon "${quote(nsid)}": ${why}`);
}

function quote(text: string): string {
  return text.slice(0, QUOTED_CHARS_MAX);
}
