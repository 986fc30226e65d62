/** The parameters of a request to the authorization server: a form or JSON, each given once. */
import { OAuthError } from "./oauth_error.ts";

/** Room for a signed request object; nothing else comes near. */
export const BODY_BYTES_MAX = 64 * 1024;
const BODY_TIMEOUT_MS = 10_000;
const PARAMETERS_MAX = 64;
const FORM_TYPE = "application/x-www-form-urlencoded";
const JSON_TYPE = "application/json";

export type Parameters = Readonly<Record<string, string>>;

/**
 * Reads the body. What is empty counts as absent, RFC 6749 section 3.1. Throws OAuthError invalid_request: of another type, too
 * large, late, or with a parameter twice.
 */
export async function readParameters(request: Request): Promise<Parameters> {
  const text = await readBodyText(request, { types: [FORM_TYPE, JSON_TYPE] });
  return collect(typeOf(request) === JSON_TYPE ? entriesOfJson(text) : [...new URLSearchParams(text)]);
}

/** A body of one of these types as text. Throws OAuthError invalid_request. */
export async function readBodyText(
  request: Request,
  { types }: { types: readonly string[] },
): Promise<string> {
  if (!types.includes(typeOf(request) ?? "")) throw invalid(`its Content-Type is not ${FORM_TYPE}`);
  const encoding = request.headers.get("content-encoding")?.trim().toLowerCase() ?? "identity";
  if (encoding !== "identity" && encoding !== "") throw invalid("its Content-Encoding is not supported");
  return readText(request);
}

function typeOf(request: Request): string | undefined {
  return request.headers.get("content-type")?.split(";", 1)[0]?.trim().toLowerCase();
}

/** Each name once. Throws OAuthError invalid_request. */
export function collect(entries: readonly (readonly [string, string])[]): Parameters {
  if (entries.length > PARAMETERS_MAX) throw invalid(`it has more than ${PARAMETERS_MAX} parameters`);
  const found = new Map<string, string>();
  for (const [name, value] of entries) {
    if (found.has(name)) throw invalid(`the parameter "${name.slice(0, 64)}" is given twice`);
    found.set(name, value);
  }
  // Without a prototype: names are the caller's choice.
  return Object.assign(
    Object.create(null),
    Object.fromEntries([...found].filter(([name, value]) => value !== "" && name !== "__proto__")),
  );
}

/** Throws OAuthError invalid_request where it is absent. */
export function required(parameters: Parameters, name: string): string {
  const value = parameters[name];
  if (value === undefined) throw invalid(`the parameter "${name}" is missing`);
  return value;
}

async function readText(request: Request): Promise<string> {
  if (Number(request.headers.get("content-length") ?? 0) > BODY_BYTES_MAX) throw tooLarge();
  const reader = request.body?.getReader();
  if (!reader) return "";
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    reader.cancel().catch(() => {});
  }, BODY_TIMEOUT_MS);
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      bytes += next.value.byteLength;
      if (bytes > BODY_BYTES_MAX) throw tooLarge();
      chunks.push(next.value);
    }
    if (isLate) throw invalid(`its body did not arrive within ${BODY_TIMEOUT_MS / 1000} s`);
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks, bytes));
  } catch (cause) {
    reader.cancel().catch(() => {});
    if (cause instanceof OAuthError) throw cause;
    throw new OAuthError(
      "invalid_request",
      "Could not read the request: its body broke off or is not UTF-8",
      {
        cause,
      },
    );
  } finally {
    clearTimeout(timer);
  }
}

function entriesOfJson(text: string): [string, string][] {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new OAuthError("invalid_request", "Could not read the request: its body is not JSON", { cause });
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) throw invalid("it is no JSON object");
  const doubled = doubledKey(text);
  if (doubled !== undefined) throw invalid(`the parameter "${doubled.slice(0, 64)}" is given twice`);
  return Object.entries(json).map(([name, value]) => {
    if (typeof value !== "string") throw invalid(`the parameter "${name.slice(0, 64)}" is no text`);
    return [name, value];
  });
}

/** A key that the outermost object of a (valid) JSON text has twice: JSON.parse keeps the last and says nothing. */
function doubledKey(text: string): string | undefined {
  const seen = new Set<string>();
  let depth = 0;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === "{" || token === "[") depth += 1;
    else if (token === "}" || token === "]") depth -= 1;
    else if (depth === 1 && token.endsWith(":")) {
      const key = JSON.parse(token.slice(0, -1)) as string;
      if (seen.has(key)) return key;
      seen.add(key);
    }
  }
  return undefined;
}

function tooLarge(): OAuthError {
  return invalid(`its body is over ${BODY_BYTES_MAX} bytes`);
}

function invalid(why: string): OAuthError {
  return new OAuthError("invalid_request", `Could not read the request: ${why}`);
}
