/** The account at the target: made with the DID, by the source's word that it is the member who asks. */
import { KithError } from "../errors.ts";
import { isHostError } from "../identity/mod.ts";
import type { ServerDescription } from "./hosts.ts";
import type { Turn } from "./move_machine.ts";
import { ATTEMPTS_MAX } from "./people.ts";
import type { StepContext } from "./step_context.ts";

const CREATE = "com.atproto.server.createAccount";
/** Which answer of the person an error is about. */
const HANDLE_ERRORS = ["HandleNotAvailable", "InvalidHandle", "UnsupportedDomain"];
const WRONG_HANDLE = /handle/i;
const WRONG_EMAIL = /e-?mail/i;

export async function createAccount(context: StepContext): Promise<Turn> {
  const { file, target, reporter } = context;
  const { did, created } = file.move;
  if (await target.hasAccount(did)) {
    if (created === undefined) file.patch({ created: { handle: file.move.handle, hadOne: true } });
    reporter.note(`"${target.url}" has this account already`);
    return "on";
  }
  const description = await target.describe();
  if (description.did !== file.move.target.did)
    throw new KithError("upstream_failure", `"${target.url}" is "${description.did}" now`);
  if (description.phoneRequired)
    throw new KithError(
      "invalid_request",
      `"${target.url}" wants a telephone number, which kith cannot give`,
    );
  await create(description, context);
  return "on";
}

/** The three answers that a server may refuse, and why it did. */
interface Answers {
  handle?: string;
  email?: string;
  inviteCode?: string;
  password?: string;
}
type Wrong = Partial<Record<keyof Answers, string>>;

async function create(description: ServerDescription, context: StepContext): Promise<void> {
  const { file, source, target, reporter } = context;
  const { did, created: before } = file.move;
  const proposal = await proposeHandle(description, context);
  const answers: Answers = {};
  let wrong: Wrong = {};
  for (let attempt = 1; ; attempt++) {
    const given = await ask(answers, { wrong, proposal, description, context });
    const serviceToken = await source.serviceToken({ aud: description.did, lxm: CREATE });
    file.patch({ created: { handle: given.handle, hadOne: false } });
    try {
      await target.createAccount({ ...given, serviceToken, did });
      reporter.note(`made the account "${given.handle}", which is not active yet`);
      return;
    } catch (error) {
      if (isHostError(error, "AlreadyExists")) {
        // Where no run before has asked for it, it is not this move's, and not this move's to take back.
        if (before === undefined) file.patch({ created: { handle: file.move.handle, hadOne: true } });
        return;
      }
      const culprit = culpritOf(error);
      if (culprit === undefined || attempt >= ATTEMPTS_MAX) throw error;
      delete answers[culprit];
      wrong = { [culprit]: isHostError(error) ? error.reason || error.error : String(error) };
    }
  }
}

async function ask(
  answers: Answers,
  {
    wrong,
    proposal,
    description,
    context: { asker, target, file },
  }: {
    wrong: Wrong;
    proposal: Proposal;
    description: ServerDescription;
    context: StepContext;
  },
) {
  const host = target.url;
  const { handle: proposed, isOwn, domain } = proposal;
  const about = { host, proposal: proposed, isOwn, domain };
  answers.handle ??= await asker.handle({ ...about, ...because(wrong.handle) });
  answers.email ??= await asker.email({ host, known: file.move.email, ...because(wrong.email) });
  if (description.inviteRequired || wrong.inviteCode !== undefined)
    answers.inviteCode ??= await asker.inviteCode({ host, ...because(wrong.inviteCode) });
  answers.password ??= await asker.targetPassword({ host, isNew: true, ...because(wrong.password) });
  const { handle, email, password, inviteCode } = answers;
  return { handle, email, password, ...(inviteCode === undefined ? {} : { inviteCode }) };
}

function because(wrong: string | undefined): { wrong?: string } {
  return wrong === undefined ? {} : { wrong };
}

function culpritOf(error: unknown): keyof Answers | undefined {
  if (!isHostError(error) || ![400, 401, 403].includes(error.status)) return undefined;
  if (error.error === "InvalidInviteCode") return "inviteCode";
  if (error.error === "InvalidPassword") return "password";
  if (error.error === "InvalidEmail" || WRONG_EMAIL.test(error.reason)) return "email";
  if (HANDLE_ERRORS.includes(error.error) || WRONG_HANDLE.test(error.reason)) return "handle";
  return undefined;
}

interface Proposal {
  readonly handle: string;
  readonly isOwn: boolean;
  /** What a name without a dot is put under: the target's first domain, with its dot. */
  readonly domain: string;
}

/** A handle of one's own domain stays; one of the source's domains cannot, and its first label goes on below the target's. */
async function proposeHandle(
  { domains }: ServerDescription,
  { file, source }: StepContext,
): Promise<Proposal> {
  const { handle } = file.move;
  const [label = ""] = handle.split(".");
  const domain = domains[0] ?? `.${new URL(file.move.target.url).hostname}`;
  if (domains.some((one) => handle === label + one)) return { handle, isOwn: false, domain };
  const isBelow = (list: readonly string[]) => list.some((one) => handle.endsWith(one));
  const isTheirs = isBelow(domains) || isBelow((await source.describe()).domains);
  if (!isTheirs && handle !== "handle.invalid") return { handle, isOwn: true, domain };
  return { handle: label + domain, isOwn: false, domain };
}
