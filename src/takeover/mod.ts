/** Taking over a stopped reference PDS: its accounts with all that is theirs, into a data folder of kith's. */
export * from "./blob_source.ts";
export * from "./identities.ts";
export * from "./locate.ts";
export * from "./plan.ts";
export * from "./reference.ts";
export type { TakenAccount } from "./take_account.ts";
export * from "./take_over.ts";
export { checkBlobTarget, checkTarget, Target, type TargetOptions } from "./target.ts";
