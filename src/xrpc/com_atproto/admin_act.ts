import { isKithError } from "../../errors.ts";
import {
  type Call,
  type InputOf,
  type Method,
  type MethodOptions,
  type MethodSchema,
  method,
} from "../method.ts";
import type { Log } from "../request_log.ts";

export interface ActOptions<S extends MethodSchema> extends Omit<MethodOptions<S>, "auth" | "oauth"> {
  readonly auth: "admin" | "moderator";
  readonly log: Log;
  /** What the act is about, for the log: DIDs, addresses of records, numbers; never a secret. */
  subject(input: InputOf<S>): Readonly<Record<string, unknown>>;
}

/** A method by which the admin or a moderator changes something: the log tells who did what to whom, done or refused. */
export function adminAct<S extends MethodSchema>(
  schema: S,
  { auth, log, subject, handler, ...options }: ActOptions<S>,
): Method {
  return method(schema, {
    ...options,
    auth,
    handler: async (call) => {
      const { input, requestId } = call;
      const fields = { act: schema.nsid, by: actorOf(call), ...subject(input), requestId };
      try {
        const answer = await handler(call);
        log.info("An admin act", fields);
        return answer;
      } catch (error) {
        const refused = isKithError(error) ? error.code : "internal";
        log.warn("An admin act that failed", { ...fields, refused });
        throw error;
      }
    },
  });
}

/** "admin", or the DID of the moderation service. */
function actorOf({ principal }: Pick<Call, "principal">): string {
  return principal === null || principal.kind === "admin" ? "admin" : principal.did;
}
