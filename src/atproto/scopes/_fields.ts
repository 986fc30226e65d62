/** The parameters of one permission, however it was written: as a scope (text) or in a permission set (JSON). */

export interface Fields {
  readonly resource: string;
  /** What a scope has between its colon and its question mark. */
  readonly positional?: string;
  /** The values of each named parameter, as many as were given. */
  readonly named: ReadonlyMap<string, readonly string[]>;
  /** In JSON, whether a parameter was given as a list; undefined in a scope, where a list is written by repeating. */
  isList?(name: string): boolean;
}

export interface FieldRule {
  readonly name: string;
  readonly isMany: boolean;
  readonly isPositional?: boolean;
  isValid(value: string): boolean;
}

/** Reads `resource[:positional][?name=value&...]`; undefined where its percent-encoding is broken. */
export function fieldsOfScope(scope: string): Fields | undefined {
  const query = scope.indexOf("?");
  const head = query === -1 ? scope : scope.slice(0, query);
  const colon = head.indexOf(":");
  const resource = colon === -1 ? head : head.slice(0, colon);
  const named = new Map<string, string[]>();
  if (query !== -1) {
    for (const [name, value] of new URLSearchParams(scope.slice(query + 1))) {
      const values = named.get(name);
      if (values) values.push(value);
      else named.set(name, [value]);
    }
  }
  if (colon === -1) return { resource, named };
  try {
    return { resource, positional: decodeURIComponent(head.slice(colon + 1)), named };
  } catch {
    return undefined;
  }
}

/** Reads one entry of a permission set's `permissions`; undefined where it is none. */
export function fieldsOfJson(json: unknown): Fields | undefined {
  if (typeof json !== "object" || json === null || Array.isArray(json)) return undefined;
  const { type, resource, ...rest } = json as Record<string, unknown>;
  if (typeof resource !== "string" || (type !== undefined && type !== "permission")) return undefined;
  const named = new Map<string, string[]>();
  for (const [name, value] of Object.entries(rest)) {
    const values = Array.isArray(value) ? value : [value];
    if (!values.every((item) => ["string", "boolean", "number"].includes(typeof item))) return undefined;
    named.set(name, values.map(String));
  }
  return { resource, named, isList: (name) => Array.isArray(rest[name]) };
}

/**
 * The values of each parameter by the rules: a single one as a list of one, an absent one not at all. Undefined where the
 * fields break a rule: an unknown name, a value that is not allowed, one parameter both positional and named, several of one
 * that is single. What is not understood grants nothing.
 */
export function readFields(
  fields: Fields,
  rules: readonly FieldRule[],
): ReadonlyMap<string, readonly string[]> | undefined {
  const found = new Map<string, readonly string[]>();
  for (const name of fields.named.keys()) {
    if (!rules.some((rule) => rule.name === name)) return undefined;
  }
  if (fields.positional !== undefined && !rules.some((rule) => rule.isPositional)) return undefined;
  for (const rule of rules) {
    const values = valuesOf(fields, rule);
    if (values === null) return undefined;
    if (values === undefined) continue;
    if (values.length === 0 || !values.every(rule.isValid)) return undefined;
    found.set(rule.name, [...new Set(values)]);
  }
  return found;
}

/** Undefined: not given. Null: given in a way that is not allowed. */
function valuesOf(fields: Fields, rule: FieldRule): readonly string[] | null | undefined {
  const named = fields.named.get(rule.name);
  if (rule.isPositional && fields.positional !== undefined) {
    return named === undefined ? [fields.positional] : null;
  }
  if (named === undefined) return undefined;
  if (!rule.isMany && named.length > 1) return null;
  return fields.isList !== undefined && fields.isList(rule.name) !== rule.isMany ? null : named;
}
