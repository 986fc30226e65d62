import {
  type AccountAttribute,
  formatPermission,
  type Permission,
  parsePermission,
  type RepoAction,
} from "./permission.ts";
import { expandInclude, type PermissionSet } from "./permission_set.ts";
import { scopeValues } from "./scope.ts";

const CHAT = "chat.bsky.";
/** Takes an account to another server: for that an app needs the permission by name. */
const MOVE = "com.atproto.server.createaccount";

/** What the holder of a token may do: asked before every act. */
export class Permissions {
  readonly #granted: readonly Permission[];
  readonly #generic: boolean;
  readonly #email: boolean;
  readonly #chat: boolean;

  private constructor(values: readonly string[], granted: readonly Permission[]) {
    this.#granted = granted;
    this.#generic = values.includes("transition:generic");
    this.#email = values.includes("transition:email");
    // As the specification of the transition has it: without the rest it is nothing.
    this.#chat = this.#generic && values.includes("transition:chat.bsky");
  }

  /**
   * The permissions of a scope. `sets` has those permission sets that it includes; one that is missing grants nothing.
   * Without the value `atproto` there is nothing at all.
   */
  static of(scope: string, sets: ReadonlyMap<string, PermissionSet> = new Map()): Permissions {
    const values = scopeValues(scope);
    if (!values.includes("atproto")) return new Permissions([], []);
    const granted = values.flatMap((value) => {
      const permission = parsePermission(value);
      if (permission?.resource !== "include") return permission ?? [];
      const set = sets.get(permission.nsid);
      return set ? expandInclude(permission, set) : [];
    });
    return new Permissions(values, granted);
  }

  /** Whether records of the collection may be written so. */
  allowsRepo({ collection, action }: { collection: string; action: RepoAction }): boolean {
    if (this.#generic) return true;
    return this.#granted.some(
      (permission) =>
        permission.resource === "repo" &&
        permission.actions.includes(action) &&
        includes(permission.collections, collection),
    );
  }

  /**
  /**
   * Whether `lxm` may be called at a service, `did#service`. An `lxm` of `*` asks for a token that names no method: apps are used to
   * getting one by `transition:generic`, as app passwords do. Servers take none for moving an account there; what else it is good for,
   * each service decides. `byName`: only by a permission for calls, not by one that stands for an app password.
   */
  allowsRpc({ lxm, aud }: { lxm: string; aud: string }, { byName = false } = {}): boolean {
    // NSIDs differ in case only by mistake, or by one who wants to slip through here.
    const name = lxm.toLowerCase();
    const byTransition = name.startsWith(CHAT) ? this.#chat : this.#generic && name !== MOVE;
    if (byTransition && !byName) return true;
    return this.#granted.some(
      (permission) =>
        permission.resource === "rpc" &&
        (permission.aud === "*" || permission.aud === aud) &&
        includes(permission.lxms, lxm),
    );
  }

  /** Whether blobs of this type may be uploaded. */
  allowsBlob(mimeType: string): boolean {
    const type = mimeType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
    if (!/^[^\s/*]+\/[^\s/*]+$/.test(type)) return false;
    if (this.#generic) return true;
    return this.#granted.some(
      (permission) => permission.resource === "blob" && permission.accept.some((glob) => accepts(glob, type)),
    );
  }

  allowsAccount({ attr, action }: { attr: AccountAttribute; action: "read" | "manage" }): boolean {
    if (this.#email && attr === "email" && action === "read") return true;
    return this.#granted.some(
      (permission) =>
        permission.resource === "account" &&
        permission.attr === attr &&
        (permission.action === "manage" || action === "read"),
    );
  }

  /** `*` asks for the whole identity: PLC operations. */
  allowsIdentity(attr: "handle" | "*"): boolean {
    return this.#granted.some(
      (permission) =>
        permission.resource === "identity" && (permission.attr === "*" || permission.attr === attr),
    );
  }

  /** All that is granted, sets expanded, each as a scope. */
  scopes(): string[] {
    return [...new Set(this.#granted.map(formatPermission))];
  }
}

function includes(names: readonly string[], name: string): boolean {
  return names[0] === "*" || names.includes(name);
}

function accepts(glob: string, type: string): boolean {
  const pattern = glob.toLowerCase();
  if (pattern === "*/*") return true;
  return pattern.endsWith("/*") ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}
