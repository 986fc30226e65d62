/** app.bsky.actor.getPreferences and putPreferences: what apps keep with an account, in its own file, for its owner alone. */
import { AppBskyActorGetPreferences, AppBskyActorPutPreferences } from "@atcute/bluesky";
import type { Principal } from "../../../auth/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { needsRpc } from "../../oauth_rules.ts";
import { APP_VIEW_ID, type ServiceRef } from "../../proxy/proxy_targets.ts";
import type { ServiceProxy } from "../../proxy/service_proxy.ts";

const NAMESPACE = "app.bsky";
const PREFERENCES_BYTES_MAX = 1024 * 1024;
/** Holds the birth date: for sessions of the main password only. */
const PERSONAL_DETAILS = "app.bsky.actor.defs#personalDetailsPref";
/** Made from the birth date when it is asked for, and never stored: apps may know the age that others may not read. */
const DECLARED_AGE = "app.bsky.actor.defs#declaredAgePref";

interface Preference {
  readonly name: string;
  /** JSON. */
  readonly value: string;
}

export interface PreferenceMethodsOptions {
  readonly repos: {
    read<T>(did: string, read: (repo: { preferences(): Preference[] }) => T): Promise<T>;
    putPreferences(
      did: string,
      change: { namespace: string; kept: readonly string[]; preferences: readonly Preference[] },
    ): Promise<void>;
  };
  readonly proxy: Pick<ServiceProxy, "passOn" | "answer" | "ask" | "targets">;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** getPreferences and putPreferences. */
export function preferenceMethods(options: PreferenceMethodsOptions): Method[] {
  return [getPreferences(options), putPreferences(options)];
}

function getPreferences({ repos, proxy, now }: PreferenceMethodsOptions): Method {
  const { mainSchema } = AppBskyActorGetPreferences;
  return method(mainSchema, {
    auth: "anySession",
    oauth: needsRpc(mainSchema.nsid, proxy.targets),
    handler: async (call) => {
      const did = callerDid(call);
      const elsewhere = keptElsewhere(call.request, proxy);
      if (elsewhere) {
        refuseNarrow(call.principal);
        const answer = await proxy.passOn(call.request, { did, nsid: mainSchema.nsid, to: elsewhere });
        return proxy.answer(call.request, answer);
      }
      const rows = await repos.read(did, (repo) => repo.preferences());
      const stored = rows.filter(({ name }) => isInNamespace(name));
      const preferences = stored.map(({ value }) => JSON.parse(value) as Record<string, unknown>);
      const age = declaredAge(preferences, now());
      const isFull = hasFullAccess(call.principal);
      const shown = preferences.filter(({ $type }) => isFull || $type !== PERSONAL_DETAILS);
      return { preferences: age ? [...shown, age] : shown };
    },
  });
}

function putPreferences({ repos, proxy }: PreferenceMethodsOptions): Method {
  const { mainSchema } = AppBskyActorPutPreferences;
  return method(mainSchema, {
    auth: "access",
    oauth: needsRpc(mainSchema.nsid, proxy.targets),
    bodyBytesMax: PREFERENCES_BYTES_MAX,
    handler: async (call) => {
      const did = callerDid(call);
      const { request, input } = call;
      const elsewhere = keptElsewhere(request, proxy);
      if (elsewhere) {
        await proxy.ask({ did, nsid: mainSchema.nsid, to: elsewhere, json: input, request });
        return undefined;
      }
      const given = input.preferences as readonly { readonly $type?: unknown }[];
      const preferences = given.map(asRow);
      const isFull = hasFullAccess(call.principal);
      if (!isFull && preferences.some(({ name }) => name === PERSONAL_DETAILS)) {
        throw new KithError(
          "invalid_request",
          `Do not have authorization to set preferences: ${PERSONAL_DETAILS}`,
        );
      }
      await repos.putPreferences(did, {
        namespace: NAMESPACE,
        kept: isFull ? [] : [PERSONAL_DETAILS],
        preferences: preferences.filter(({ name }) => name !== DECLARED_AGE),
      });
      return undefined;
    },
  });
}

/**
 * The service that is asked for its own preferences. Apps name their AppView on every call, and mean by it that the
 * preferences be those of the account, which are here.
 */
function keptElsewhere(
  request: Request,
  { targets }: { readonly targets: Pick<ServiceProxy["targets"], "named" | "appView"> },
): ServiceRef | undefined {
  const named = targets.named(request);
  if (!named) return undefined;
  const { appView } = targets;
  const isOwn = named.serviceId === APP_VIEW_ID && (!appView || named.did === appView.did);
  return isOwn ? undefined : named;
}

function refuseNarrow(principal: Principal | null): void {
  if (principal?.kind === "user" && principal.scope === "com.atproto.takendown")
    throw new KithError("invalid_token", "Bad token scope");
}

function hasFullAccess(principal: Principal | null): boolean {
  return principal?.kind === "user" && principal.scope === "com.atproto.access";
}

function asRow(value: { readonly $type?: unknown }): Preference {
  const { $type } = value;
  if (typeof $type !== "string") throw new KithError("invalid_request", "Preference is missing a $type");
  if (!isInNamespace($type)) {
    throw new KithError("invalid_request", `Some preferences are not in the ${NAMESPACE} namespace`);
  }
  return { name: $type, value: JSON.stringify(value) };
}

function isInNamespace(name: string): boolean {
  return name === NAMESPACE || name.startsWith(`${NAMESPACE}.`);
}

function declaredAge(
  preferences: readonly Record<string, unknown>[],
  now: number,
): Record<string, unknown> | undefined {
  const birthDate = preferences.find(({ $type }) => $type === PERSONAL_DETAILS)?.birthDate;
  const birth = new Date(typeof birthDate === "string" ? birthDate : Number.NaN);
  if (Number.isNaN(birth.getTime())) return undefined;
  const age = yearsBetween(birth, new Date(now));
  return { $type: DECLARED_AGE, isOverAge13: age >= 13, isOverAge16: age >= 16, isOverAge18: age >= 18 };
}

function yearsBetween(birth: Date, today: Date): number {
  const years = today.getUTCFullYear() - birth.getUTCFullYear();
  const months = today.getUTCMonth() - birth.getUTCMonth();
  const hadBirthday = months > 0 || (months === 0 && today.getUTCDate() >= birth.getUTCDate());
  return hadBirthday ? years : years - 1;
}
