/** The schemas of @atcute/atproto and @atcute/bluesky, by the name that a lexicon calls them by. */
import * as atproto from "@atcute/atproto";
import * as bluesky from "@atcute/bluesky";
import type { BaseSchema } from "@atcute/lexicons/validations";

const MODULES = new Map<string, object>(Object.entries({ ...atproto, ...bluesky }));

/** True where the lexicon is one of those that come with this server. */
export function isBundledLexicon(nsid: string): boolean {
  return moduleOf(nsid) !== undefined;
}

/** The schema of one definition of a bundled lexicon. */
export function bundledDefinition(nsid: string, name: string): BaseSchema | undefined {
  const exported: Readonly<Record<string, unknown>> = { ...moduleOf(nsid) };
  const schema = exported[`${name}Schema`];
  return isSchema(schema) ? schema : undefined;
}

/** A module is named after its NSID with the dots left out: whether it is that one, its schemas say. */
function moduleOf(nsid: string): object | undefined {
  const name = nsid.replace(/(?:^|\.)([a-z])/gi, (_, letter: string) => letter.toUpperCase());
  const found = MODULES.get(name);
  return found && Object.values(found).some((schema) => nsidOf(schema) === nsid) ? found : undefined;
}

function nsidOf(schema: unknown): string | undefined {
  const { type, nsid, object, shape } = (schema ?? {}) as Loose;
  if (typeof nsid === "string") return nsid;
  const $type = (type === "record" ? object?.shape : type === "object" ? shape : undefined)?.$type;
  return ($type?.wrapped ?? $type)?.expected?.split("#")[0];
}

interface Loose {
  readonly type?: string;
  readonly nsid?: string;
  readonly object?: { readonly shape?: Shape };
  readonly shape?: Shape;
}

interface Shape {
  readonly $type?: { readonly expected?: string; readonly wrapped?: { readonly expected?: string } };
}

function isSchema(value: unknown): value is BaseSchema {
  return (value as { kind?: unknown } | undefined)?.kind === "schema";
}
