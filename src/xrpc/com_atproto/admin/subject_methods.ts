/** com.atproto.admin.getSubjectStatus and updateSubjectStatus: takedowns of accounts, records and blobs. */
import { ComAtprotoAdminGetSubjectStatus, ComAtprotoAdminUpdateSubjectStatus } from "@atcute/atproto";
import type { Moderation } from "../../../accounts/mod.ts";
import { KithError } from "../../../errors.ts";
import { type InputOf, type Method, method } from "../../method.ts";
import type { Log } from "../../request_log.ts";
import { adminAct } from "../admin_act.ts";
import { readCid } from "../sync/repo_methods.ts";

export interface SubjectMethodsOptions {
  readonly moderation: Pick<
    Moderation,
    | "accountStatus"
    | "recordStatus"
    | "blobStatus"
    | "setAccountTakedown"
    | "setRecordTakedown"
    | "setBlobTakedown"
    | "setDeactivated"
    | "announce"
  >;
  readonly log: Log;
}

const REF_CHARS_LOGGED = 200;
const REPO = "com.atproto.admin.defs#repoRef";
const RECORD = "com.atproto.repo.strongRef";
const BLOB = "com.atproto.admin.defs#repoBlobRef";

type Update = InputOf<typeof ComAtprotoAdminUpdateSubjectStatus.mainSchema>;

export function subjectMethods(options: SubjectMethodsOptions): Method[] {
  return [getSubjectStatus(options), updateSubjectStatus(options)];
}

function getSubjectStatus({ moderation }: SubjectMethodsOptions): Method {
  return method(ComAtprotoAdminGetSubjectStatus.mainSchema, {
    auth: "moderator",
    handler: async ({ params: { did, uri, blob } }) => {
      if (blob !== undefined) {
        if (did === undefined) {
          throw new KithError("invalid_request", "Must provide a did to request blob state");
        }
        const { takedown } = await moderation.blobStatus(did, readCid(blob));
        return { subject: { $type: BLOB, did, cid: blob }, takedown };
      }
      if (uri !== undefined) {
        const { takedown, ...record } = await moderation.recordStatus(uri);
        return { subject: { $type: RECORD, ...record }, takedown };
      }
      if (did === undefined) throw new KithError("invalid_request", "No provided subject");
      return { subject: { $type: REPO, did }, ...(await moderation.accountStatus(did)) };
    },
  });
}

function updateSubjectStatus({ moderation, log }: SubjectMethodsOptions): Method {
  return adminAct(ComAtprotoAdminUpdateSubjectStatus.mainSchema, {
    auth: "moderator",
    log,
    subject: ({ subject, takedown, deactivated }) => ({
      subject: "uri" in subject ? subject.uri : subject.did,
      blob: "did" in subject && "cid" in subject ? subject.cid : undefined,
      takedown: takedown?.applied,
      ref: takedown?.ref?.slice(0, REF_CHARS_LOGGED),
      deactivated: deactivated?.applied,
    }),
    handler: async ({ input }) => {
      const { subject, takedown, deactivated } = input;
      // The lexicon's union is open.
      if (![REPO, RECORD, BLOB].includes(subject.$type)) {
        throw new KithError("invalid_request", `Invalid subject (${String(subject.$type).slice(0, 300)})`);
      }
      if (takedown?.applied && deactivated && !deactivated.applied) {
        throw new KithError("invalid_request", "Cannot activate and takedown an account at the same time");
      }
      if (subject.$type === REPO)
        await updateAccount(moderation, { did: subject.did, takedown, deactivated });
      else if (takedown) await updateContent(moderation, { subject, takedown });
      return { subject, takedown };
    },
  });
}

async function updateAccount(
  moderation: SubjectMethodsOptions["moderation"],
  { did, takedown, deactivated }: Pick<Update, "takedown" | "deactivated"> & { readonly did: string },
): Promise<void> {
  if (takedown) await moderation.setAccountTakedown(did, takedown);
  if (deactivated) await moderation.setDeactivated(did, deactivated);
  if (!takedown && !deactivated) await moderation.announce(did);
}

async function updateContent(
  moderation: SubjectMethodsOptions["moderation"],
  { subject, takedown }: { subject: Update["subject"]; takedown: NonNullable<Update["takedown"]> },
): Promise<void> {
  if (subject.$type === RECORD) await moderation.setRecordTakedown(subject, takedown);
  if (subject.$type === BLOB) {
    await moderation.setBlobTakedown({ did: subject.did, cid: readCid(subject.cid) }, takedown);
  }
}
