/** Whether a data folder is sound, and what of it can be made sound again. */
export * from "./findings.ts";
export { KeptFiles } from "./kept_files.ts";
export * from "./repair.ts";
export * from "./repair_plan.ts";
export type { RepairAccounts, RepairOptions, RepairStores } from "./repair_stores.ts";
export * from "./sources.ts";
export { verify } from "./verify.ts";
export * from "./verify_folder.ts";
