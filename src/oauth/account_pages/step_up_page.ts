/** Asks who is signed in to sign in once more, before something of weight, and goes on there. */
import type { FactorProof, SecondFactors, StepUps } from "../../accounts/mod.ts";
import { isKithError } from "../../errors.ts";
import { type SecondFactorData, secondFactorPage } from "../../web/mod.ts";
import { type AccountCall, type AccountRoutes, type PageAnswer, REFUSED } from "./account_call.ts";
import { errorText } from "./error_texts.ts";
import { returnPath } from "./paths.ts";
import { answerOf } from "./security_pages.ts";

export interface StepUpParts {
  readonly factors: Pick<SecondFactors, "list" | "required" | "challenge" | "mailCode">;
  readonly stepUps: Pick<StepUps, "again">;
}

type Way = SecondFactorData["factor"]["kind"];

export function stepUpRoutes(parts: StepUpParts): AccountRoutes {
  return {
    confirm: { get: (call) => ask(call, parts), post: (call) => check(call, parts) },
    "confirm/send-code": { post: (call) => sendCode(call, parts) },
  };
}

/** Where somebody is sent who has to sign in again before going to a page. */
export function stepUpTo(call: AccountCall, page: string): { to: string } {
  return call.to("confirm", { to: page });
}

/** A passkey is enough by itself; without one the password, with a code where the account has such. */
async function waysOf({ did }: AccountCall, { factors }: StepUpParts): Promise<Way[]> {
  const kinds = factors.required(did).filter((kind) => kind !== "passkey");
  const { passkeys, passkeyRequired } = await factors.list(did);
  const byCode: Way[] = kinds.length > 0 || passkeyRequired ? kinds : ["password"];
  return passkeys.length > 0 ? ["passkey", ...byCode] : byCode;
}

async function ask(
  call: AccountCall,
  parts: StepUpParts,
  error?: { way: Way; text: string; isSent: boolean },
): Promise<PageAnswer> {
  const ways = await waysOf(call, parts);
  const wanted = error?.way ?? call.query("way");
  const way = ways.find((one) => one === wanted) ?? ways[0] ?? "password";
  const to = backOf(call);
  const html = secondFactorPage(call.view, {
    account: { did: call.did, handle: call.account.handle },
    purpose: "step_up",
    factor: await factorOf(call, { way, isSent: error?.isSent ?? call.query("sent") !== "" }, parts),
    form: call.target("confirm", { to, way }),
    others: ways
      .filter((one) => one !== way)
      .map((kind) => ({ kind, url: call.to("confirm", { to, way: kind }).to })),
    errors: error === undefined ? undefined : { form: error.text },
    cancelUrl: call.path(),
  });
  return { html, ...(error === undefined ? {} : { status: REFUSED }) };
}

async function factorOf(
  call: AccountCall,
  { way, isSent }: { way: Way; isSent: boolean },
  { factors }: StepUpParts,
): Promise<SecondFactorData["factor"]> {
  switch (way) {
    case "passkey":
      return { kind: "passkey", optionsJson: JSON.stringify(await factors.challenge(call.did)) };
    case "email": {
      const send = call.target("confirm/send-code", { to: backOf(call) });
      return { kind: "email", address: shortened(call.account.email), send, isSent };
    }
    default:
      return { kind: way };
  }
}

async function check(call: AccountCall, parts: StepUpParts): Promise<PageAnswer> {
  const { t } = call.view;
  const { did, ip, device } = call;
  const way = call.field("way") as Way;
  const proof = proofOf(call);
  const password = call.field("password");
  try {
    await parts.stepUps.again(device, { did, ip, password, ...(proof ? { proof } : {}) });
  } catch (error) {
    const own = {
      auth_required: wrongText(call, way),
      factor_required: t.errors.required,
      expired_token: t.errors.expired,
    };
    return ask(call, parts, { way, text: errorText(t, error, own), isSent: true });
  }
  return { to: backOf(call) };
}

function proofOf(call: AccountCall): FactorProof | undefined {
  const credential = call.field("credential");
  if (credential !== "") return { kind: "passkey", answer: answerOf(credential) };
  const code = call.field("code").trim();
  return code === "" ? undefined : { kind: "code", code };
}

/** Which of password and code was wrong is not told: both are asked for at once. */
function wrongText({ view }: AccountCall, way: Way): string {
  if (way === "passkey") return view.t.errors.wrongPasskey;
  return way === "password" ? view.t.errors.wrongPassword : view.t.errors.wrongPasswordOrCode;
}

/** Mails a code, unless one has just been. Only a form does: browsers follow links by themselves. */
async function sendCode(call: AccountCall, parts: StepUpParts): Promise<PageAnswer> {
  const { t } = call.view;
  if (!parts.factors.required(call.did).includes("email")) return call.to("confirm", { to: backOf(call) });
  try {
    await parts.factors.mailCode(call.account);
  } catch (error) {
    if (!isKithError(error)) throw error;
    const text = errorText(t, error, { invalid_request: t.errors.busy });
    return ask(call, parts, { way: "email", text, isSent: false });
  }
  return call.to("confirm", { to: backOf(call), way: "email", sent: "1" });
}

/** The page that was asked for: one of this account. */
function backOf(call: AccountCall): string {
  const to = returnPath(call.field("to") || call.query("to"));
  return to !== undefined && (to === call.path() || to.startsWith(`${call.path()}/`)) ? to : call.path();
}

/** `a…@example.com` */
export function shortened(email: string | null | undefined): string {
  const [name = "", host = ""] = (email ?? "").split(/@(?=[^@]*$)/);
  return `${name.slice(0, 1)}…@${host}`;
}
