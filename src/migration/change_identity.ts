/** The steps that make the DID lead to the new server, and what follows from it. */
import { type DidDocument, pdsEndpointOf, signingKeyOf } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { isHostError } from "../identity/mod.ts";
import { isBehind, planOf } from "./compare.ts";
import type { Turn } from "./move_machine.ts";
import { ATTEMPTS_MAX, Unanswered } from "./people.ts";
import { checkSigned, follows } from "./plan_operation.ts";
import type { StepContext } from "./step_context.ts";

export async function requestCode(context: StepContext): Promise<Turn> {
  const { file, source, reporter } = context;
  if (await hasMoved(context)) return "moved";
  if (file.move.operation !== undefined || file.move.codeRequested) return "on";
  await source.requestCode();
  file.patch({ codeRequested: true });
  reporter.note(`"${source.url}" mails a code to ${file.move.email ?? "the account's address"}`);
  return "on";
}

export async function sign(context: StepContext): Promise<Turn> {
  const { file, source, asker, plc } = context;
  const { did, email } = file.move;
  if (file.move.operation !== undefined) return "on";
  if (await isBehind(context)) return "behind";
  const { credentials: wanted } = await planOf(context);
  let wrong: string | undefined;
  for (let attempt = 1; ; attempt++) {
    const about = { host: source.url, email, ...(wrong === undefined ? {} : { wrong }) };
    const token = (
      await asker.plcCode(about).catch((error) => withNewCode(error, { wrong, context }))
    ).trim();
    if (token === "") {
      file.patch({ codeRequested: false });
      return "newCode";
    }
    try {
      const operation = await source.sign({ ...wanted, token });
      checkSigned(operation, { wanted, last: await plc.lastOperation(did) });
      file.patch({ operation });
      return "on";
    } catch (error) {
      if (isHostError(error, "ExpiredToken") || (isHostError(error) && /expired/i.test(error.reason))) {
        context.reporter.note("the code has expired: asking for a new one");
        file.patch({ codeRequested: false });
        return "newCode";
      }
      const isWrong = isHostError(error) && [400, 401].includes(error.status);
      if (!isWrong) throw error;
      // The next run has a fresh one mailed.
      if (attempt >= ATTEMPTS_MAX) {
        file.patch({ codeRequested: false });
        throw error;
      }
      wrong = error.reason || error.error;
    }
  }
}

/** Nobody gives another code in this run: one that was used up must not stop the next, which begins with a fresh one. */
async function withNewCode(
  error: unknown,
  { wrong, context: { source, reporter } }: { wrong: string | undefined; context: StepContext },
): Promise<never> {
  if (wrong !== undefined && error instanceof Unanswered) {
    await source.requestCode();
    reporter.note(`"${source.url}" mails a new code: the one before does not count any more`);
  }
  throw error;
}

export async function submit(context: StepContext): Promise<Turn> {
  const { file, target, plc, reporter } = context;
  const { did, operation } = file.move;
  if (!(await hasMoved(context))) {
    if (operation === undefined || !follows(operation, await plc.lastOperation(did))) {
      reporter.note("the DID has been changed since the operation was signed: signing anew");
      file.patch({ operation: undefined, codeRequested: false });
      return "newCode";
    }
    try {
      await target.submit(operation);
    } catch (error) {
      if (!(await hasMoved(context).catch(() => false))) throw error;
    }
  }
  if (await hasMoved(context)) return "on";
  throw new KithError(
    "upstream_failure",
    `"${target.url}" took the operation, and the directory does not show it`,
  );
}

/** The owner of a did:web changes its document; there is nothing that a server could do. */
export async function awaitDocument(context: StepContext): Promise<Turn> {
  const { file, target, asker } = context;
  const { did } = file.move;
  if (await isBehind(context)) return "behind";
  const wanted = await target.recommended();
  const document = webDocument(did, await context.dids.resolve(did, { fresh: true }), wanted);
  let wrong = `the document of "${did}" does not name "${target.url}" yet`;
  for (;;) {
    if (await hasMoved(context)) return "on";
    const text = JSON.stringify(document, null, 2);
    if (!(await asker.documentReady({ did, document: text, wrong })))
      throw new KithError("invalid_request", wrong);
    wrong = `the document of "${did}" still does not name "${target.url}" and its key`;
  }
}

export async function activate({ file, target, reporter }: StepContext): Promise<Turn> {
  if (!(await target.figures()).activated) await target.activate();
  const { activated, validDid } = await target.figures();
  if (!activated || !validDid)
    throw new KithError(
      "upstream_failure",
      `The account is not active at "${target.url}" after its activation`,
    );
  file.patch({ operation: undefined });
  reporter.note(`the account is active at "${target.url}"`);
  return "on";
}

export async function deactivate({ source, reporter }: StepContext): Promise<Turn> {
  if ((await source.figures()).activated) await source.deactivate();
  reporter.note(`the account at "${source.url}" is deactivated; it is not deleted`);
  return "on";
}

/** Ends both sign-ins: nothing of them is to be left behind in a file. */
export async function finish({ source, target }: StepContext): Promise<Turn> {
  for (const host of [source, target]) {
    try {
      await host.signOut();
    } catch (error) {
      // The tokens are forgotten either way.
      if (!isKithError(error)) throw error;
    }
  }
  return "on";
}

/** Whether the DID leads to the target, with the key that the target signs with. */
export async function hasMoved({ file, target, plc, dids }: StepContext): Promise<boolean> {
  const { did } = file.move;
  const document = did.startsWith("did:plc:")
    ? await plc.document(did)
    : await dids.resolve(did, { fresh: true });
  if (pdsEndpointOf(document, { allowHttp: target.url.startsWith("http:") }) !== target.url) return false;
  return signingKeyOf(document) === (await target.recommended()).verificationMethods?.atproto;
}

/** The document as its owner has it, with what has to change. */
function webDocument(
  did: string,
  current: DidDocument,
  wanted: Awaited<ReturnType<StepContext["target"]["recommended"]>>,
): DidDocument {
  const others = (list: unknown, id: string) =>
    (Array.isArray(list) ? list : []).filter(
      (entry: { id?: unknown } | null) => ![`#${id}`, `${did}#${id}`].includes(String(entry?.id)),
    );
  const { type, endpoint } = wanted.services?.atproto_pds ?? {};
  const publicKeyMultibase = wanted.verificationMethods?.atproto?.replace(/^did:key:/, "");
  const method = { id: `${did}#atproto`, type: "Multikey", controller: did, publicKeyMultibase };
  return {
    ...current,
    alsoKnownAs: wanted.alsoKnownAs ?? current.alsoKnownAs,
    verificationMethod: [...others(current.verificationMethod, "atproto"), method],
    service: [
      ...others(current.service, "atproto_pds"),
      { id: "#atproto_pds", type, serviceEndpoint: endpoint },
    ],
  };
}
