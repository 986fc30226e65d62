/** Our own lexicons (dev.kith.*), as typed schemas. Written by tools/lexicons.ts from lexicons/: do not edit. */
export * as DevKithAdminCreateEmailCode from "./types/dev/kith/admin/createEmailCode.ts";
export * as DevKithAdminFindAccount from "./types/dev/kith/admin/findAccount.ts";
export * as DevKithAdminRequestCrawl from "./types/dev/kith/admin/requestCrawl.ts";
export * as DevKithAdminResetSecondFactor from "./types/dev/kith/admin/resetSecondFactor.ts";
