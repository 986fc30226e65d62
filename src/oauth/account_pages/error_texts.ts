/** What a form says where an act was refused. */
import { type ErrorCode, isKithError } from "../../errors.ts";
import type { Texts } from "../../web/mod.ts";

type Own = Partial<Record<ErrorCode, string>>;

/** In the reader's words; `own` has those that only this form knows. Throws the error again where nobody has words for it. */
export function errorText(t: Texts, error: unknown, own: Own = {}): string {
  const text = isKithError(error) ? (own[error.code] ?? commonText(t, error)) : undefined;
  if (text === undefined) throw error;
  return text;
}

function commonText(
  { errors }: Texts,
  { code, retryAfterS }: { code: ErrorCode; retryAfterS: number | undefined },
) {
  switch (code) {
    case "rate_limited":
      return errors.tooManyTries(Math.max(1, Math.ceil((retryAfterS ?? 60) / 60)));
    case "busy":
    case "timeout":
    case "upstream_failure":
      return errors.busy;
    case "invalid_token":
    case "expired_token":
    case "token_required":
      return errors.wrongCode;
    case "invalid_password":
      return errors.badPassword;
    case "auth_required":
      return errors.wrongPassword;
    default:
      return undefined;
  }
}
