/**
 * Moves an account by a rotation key of its DID alone: no password at its server, which need not agree, nor be there any more where
 * what the account has published was saved before. Each step looks before it acts, so that the whole may be begun again.
 */
import { randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import {
  cidOfOperation,
  createServiceJwt,
  type DidDocument,
  handleOf,
  pdsEndpointOf,
  type Signer,
  signOperation,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { isHostError, type PlcData, type PlcDirectory, XrpcHost } from "../identity/mod.ts";
import { AccountAtHost } from "./account_at_host.ts";
import type { Credentials, HostSurroundings, ServerDescription } from "./hosts.ts";
import { planOperation } from "./plan_operation.ts";
import { SavedAccount } from "./saved_account.ts";

const CREATE = "com.atproto.server.createAccount";
const TOKEN_SECONDS = 60;
const ACCOUNT_SIGNS = "atproto";

export interface KeyMoveOptions {
  readonly did: string;
  /** The private half of a rotation key of the DID. */
  readonly rotation: Signer;
  /** Signs in the account's name until the new server has its own key there; the same in every run. */
  readonly interim: () => Signer;
  readonly to: string;
  /** At the new server: its label under that server's first domain where absent. */
  readonly handle: string | undefined;
  readonly email: string;
  /** Of the account there: asked for once it is needed, and the same every time. */
  password(): Promise<string>;
  readonly inviteCode: string | undefined;
  /** Where what the account has published is saved, and stays. */
  readonly folder: string;
  readonly plc: Pick<PlcDirectory, "data" | "document" | "lastOperation" | "submit">;
  readonly surroundings: HostSurroundings;
  /** Servers at http: on this machine. */
  readonly allowHttp: boolean;
  say(text: string): void;
  /** Asked once all is saved, before the DID is changed for the first time. */
  confirm(plan: { from: string | undefined; to: string; handle: string }): Promise<boolean>;
}

export interface KeyMoved {
  /** Undefined of an identity that had no account. */
  readonly from: string | undefined;
  readonly handle: string;
  readonly lostBlobs: readonly string[];
}

/** Undefined where the person does not want it after all. Throws KithErrors, also of the servers. */
export async function moveByKey(options: KeyMoveOptions): Promise<KeyMoved | undefined> {
  const { did, plc, to, allowHttp, say } = options;
  const target = targetOf(options);
  const document = await plc.document(did);
  checkRule(await plc.data(did), options);
  const from = pdsEndpointOf(document, { allowHttp });
  const description = await target.describe();
  const saved = new SavedAccount(options.folder, { did, surroundings: options.surroundings, say });
  const handle =
    from === to ? (handleOf(document) ?? did) : (options.handle ?? proposed(document, description, to));
  if (from !== to) {
    await checkTarget(description, { handle, options });
    if (from !== undefined) await saved.save(from);
    if (!(await options.confirm({ from, to, handle }))) return undefined;
    await enter(target, { description, handle, options });
    if (from !== undefined) {
      await target.importRepo(() => saved.repo());
      say("the records are there");
    }
  } else {
    if (!existsSync(options.folder)) throw new KithError("invalid_request", `"${did}" is at "${to}" already`);
    await target.signIn({ did, password: await options.password() });
  }
  const lostBlobs = await fill(target, saved);
  if (from !== to) await lead(target, options);
  if (!(await target.figures()).activated) await target.activate();
  say(`the account is active at "${to}"`);
  await target.signOut().catch(() => undefined);
  return { from, handle, lostBlobs };
}

function targetOf({ to, surroundings, did, ...options }: KeyMoveOptions): AccountAtHost {
  const target: AccountAtHost = new AccountAtHost({
    ...surroundings,
    ...{ url: to, signInUrl: to, tokens: undefined },
    onTokens: () => undefined,
    onSessionLost: async () => await target.signIn({ did, password: await options.password() }),
  });
  return target;
}

function checkRule({ rotationKeys }: PlcData, { did, rotation }: KeyMoveOptions): void {
  if (rotationKeys.includes(rotation.didKey)) return;
  throw new KithError(
    "invalid_request",
    `The key "${rotation.didKey}" does not rule "${did}": its rotation keys are ${rotationKeys.join(", ")}`,
  );
}

function proposed(document: DidDocument, { domains }: ServerDescription, to: string): string {
  const [label = ""] = (handleOf(document) ?? "").split(".");
  const domain = domains[0];
  if (label !== "" && domain !== undefined) return label + domain;
  throw new KithError("invalid_request", `Which handle shall it have at "${to}"? Give "--handle HANDLE"`);
}

/** What would stop it after the DID was changed. */
async function checkTarget(
  { inviteRequired, phoneRequired }: ServerDescription,
  { handle, options: { to, inviteCode, did, surroundings } }: { handle: string; options: KeyMoveOptions },
): Promise<void> {
  const refuse = (why: string) =>
    new KithError("invalid_request", `Could not move "${did}" to "${to}": ${why}`);
  if (phoneRequired) throw refuse("it wants a telephone number");
  if (inviteRequired && inviteCode === undefined)
    throw refuse('it wants an invite code: give "--invite-code CODE"');
  const owner = await ownerOf(handle, new XrpcHost({ ...surroundings, url: to }));
  if (owner !== undefined && owner !== did)
    throw refuse(`the handle "${handle}" is taken there: give another with "--handle HANDLE"`);
}

async function ownerOf(handle: string, host: XrpcHost): Promise<unknown> {
  try {
    const answer = await host.json("com.atproto.identity.resolveHandle", { params: { handle } });
    return (answer as { did?: unknown } | null)?.did;
  } catch (error) {
    if (!isHostError(error)) throw error;
    return undefined;
  }
}

/** Signs in at the new server, where the account is made first, by a key that the DID is given for it. */
async function enter(
  target: AccountAtHost,
  {
    description,
    handle,
    options,
  }: { description: ServerDescription; handle: string; options: KeyMoveOptions },
): Promise<void> {
  const { did, email, inviteCode, plc, say, surroundings } = options;
  if (await target.hasAccount(did)) {
    await target.signIn({ did, password: await options.password() });
    return say(`"${target.url}" has this account already`);
  }
  const [interim, password] = [options.interim(), await options.password()];
  const { verificationMethods, ...rest } = await plc.data(did);
  if (verificationMethods[ACCOUNT_SIGNS] !== interim.didKey) {
    await change(options, {
      ...rest,
      verificationMethods: { ...verificationMethods, [ACCOUNT_SIGNS]: interim.didKey },
    });
    say("the DID names a new signing key: nobody else can publish as it any more");
  }
  const iat = Math.floor(surroundings.now() / 1_000);
  const claims = { iss: did, aud: description.did, lxm: CREATE, iat, exp: iat + TOKEN_SECONDS };
  const serviceToken = createServiceJwt({ ...claims, jti: randomUUID(), signer: interim });
  await target.createAccount({
    ...{ serviceToken, did, handle, email, password },
    ...(inviteCode === undefined ? {} : { inviteCode }),
  });
  say(`made the account "${handle}", which is not active yet`);
}

/** Makes the DID lead to the new server. Every rotation key but ours and the new server's goes. */
async function lead(target: AccountAtHost, options: KeyMoveOptions): Promise<void> {
  const { did, rotation, plc, say, to } = options;
  const current = await plc.data(did);
  const recommended = await target.recommended();
  const endpoint = recommended.services?.atproto_pds?.endpoint;
  if (endpoint !== to)
    throw new KithError(
      "upstream_failure",
      `"${to}" wants the DID to lead to "${endpoint}" and not to itself`,
    );
  const others = current.rotationKeys.filter((key) => key !== rotation.didKey);
  const plan = planOperation({
    current,
    source: { rotationKeys: others },
    target: recommended,
    recoveryKey: rotation.didKey,
    dropKeys: [],
  });
  await change(options, plan.credentials);
  say(`the DID leads to "${to}"; rotation keys: ${plan.credentials.rotationKeys.join(", ")}`);
}

async function change(
  { did, rotation, plc }: KeyMoveOptions,
  { rotationKeys, alsoKnownAs, verificationMethods, services }: Required<Credentials>,
): Promise<void> {
  const prev = cidOfOperation(await plc.lastOperation(did));
  const state = { rotationKeys, alsoKnownAs, verificationMethods, services };
  await plc.submit(did, signOperation({ type: "plc_operation", ...state, prev }, rotation));
}

/** The CIDs that are nowhere to be had. */
async function fill(target: AccountAtHost, saved: SavedAccount): Promise<string[]> {
  const lost: string[] = [];
  const seen = new Set<string>();
  for (let cursor: string | undefined; ; ) {
    const page = await target.missingBlobs(cursor);
    const fresh = page.blobs.filter(({ cid }) => !seen.has(cid));
    for (const { cid } of fresh) {
      seen.add(cid);
      const blob = saved.blob(cid);
      if (blob === undefined || (await target.uploadBlob(async () => blob())) !== cid) lost.push(cid);
    }
    if (!page.cursor || fresh.length === 0) return lost;
    cursor = page.cursor;
  }
}
