/** What a stock PDS may answer: nothing of it is taken at its word. */
import { z } from "zod";
import { isDid } from "../../atproto/mod.ts";
import { KithError } from "../../errors.ts";

const TEXT_CHARS_MAX = 2_048;
const TOKEN_CHARS_MAX = 16_384;
const ENTRIES_MAX = 50;

const text = z.string().max(TEXT_CHARS_MAX);
const token = z.string().min(1).max(TOKEN_CHARS_MAX);
const did = text.refine(isDid, "no DID");

export const description = z.object({
  did,
  availableUserDomains: z
    .array(text.regex(/^\.?[a-z0-9.-]+$/i))
    .max(ENTRIES_MAX)
    .default([]),
  inviteCodeRequired: z.boolean().default(false),
  phoneVerificationRequired: z.boolean().default(false),
});

export const session = z.object({
  did,
  handle: text.optional(),
  active: z.boolean().optional(),
  status: text.optional(),
  accessJwt: token,
  refreshJwt: token,
});

export const repoStatus = z.object({ did, active: z.boolean(), status: text.optional() });

export const credentials = z.object({
  rotationKeys: z.array(text).max(ENTRIES_MAX).optional(),
  alsoKnownAs: z.array(text).max(ENTRIES_MAX).optional(),
  verificationMethods: z.record(text, text).optional(),
  services: z.record(text, z.object({ type: text, endpoint: text })).optional(),
});

export const appPasswords = z.object({ passwords: z.array(z.object({ name: text })).max(1_000) });
export const appPassword = z.object({ name: text, password: text.min(8) });
export const resolved = z.object({ did });
export const availability = z.object({ result: z.object({ $type: text }) });

/** The answer in its form. Throws KithError upstream_failure, which names the fields and nothing of what they hold. */
export function read<T>(answer: unknown, about: { url: string; nsid: string; schema: z.ZodType<T> }): T {
  const { data, error } = about.schema.safeParse(answer);
  if (error === undefined) return data;
  const where = error.issues
    .slice(0, 5)
    .map(({ path }) => path.slice(0, 3).map(String).join(".") || "the answer");
  const fields = where.map((field) => field.slice(0, 100)).join(", ");
  throw new KithError("upstream_failure", `"${about.url}" answered ${about.nsid} wrongly: ${fields}`);
}
