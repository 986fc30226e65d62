/**
 * What an app may do with an account: OAuth scopes, the permissions that they are written as, and permission sets.
 * https://atproto.com/specs/permission
 */
export {
  type ExplainedScope,
  type Explanation,
  explain,
  type Meaning,
  PERMISSION_GROUPS,
  type PermissionGroup,
  type PermissionGroupName,
  type Risk,
} from "./explain.ts";
export {
  type AccountAttribute,
  formatPermission,
  type Include,
  type Permission,
  parsePermission,
  type RepoAction,
} from "./permission.ts";
export { expandInclude, type PermissionSet, parsePermissionSet } from "./permission_set.ts";
export { Permissions } from "./permissions.ts";
export {
  hasScope,
  isScopeText,
  isScopeWithin,
  knownScopes,
  SCOPE_CHARS_MAX,
  scopeValues,
  valueBeyond,
} from "./scope.ts";
