/** The operator's pages, with sample data. */
import { DAY, DID, LATER, type Samples, type SampleWords, to } from "./_sample_data.ts";
import * as pages from "./mod.ts";
import { textsOf } from "./texts_of.ts";

const frame: pages.AdminFrame = {
  links: { home: "/admin", accounts: "/admin/accounts" },
  signOut: to("sign-out"),
};
const VALUES = {
  freeBytes: 41_300_000_000,
  sizeBytes: 80_000_000_000,
  at: DAY.getTime(),
  count: 2,
  ms: 7_400_000,
};
const WELL = [
  ["disk", "roomEnough"],
  ["events", "eventsTaken"],
  ["backup", "backupFresh"],
  ["shipping", "shippingUpToDate"],
  ["drill", "drillProven"],
  ["mail", "mailSet"],
  ["relays", "relaysTold"],
] as const;

export function adminPagesOf(words: SampleWords): Samples {
  const server: pages.AdminServer = {
    version: "0.1.0",
    address: "https://pds.example.com",
    started: DAY,
    disk: { freeBytes: VALUES.freeBytes, sizeBytes: VALUES.sizeBytes },
    accounts: { active: 1_204, deactivated: 3, takendown: 1 },
  };
  const backups: pages.AdminBackups = {
    destination: `s3://${words.host}/kith`,
    snapshot: { at: DAY, seconds: 92, bytes: 34_000_000_000, writtenBytes: 210_000_000 },
    shipped: { at: DAY, isUpToDate: true },
    proven: { at: DAY, snapshot: "2026-03-14T02-00-00Z" },
    drill: { at: DAY, seconds: 320 },
    isRunning: false,
    isDrilling: false,
    runNow: to("backup"),
    drillNow: to("drill"),
  };
  const check = (name: string, reason: string, state: pages.AdminCheckState) =>
    ({
      name,
      reason,
      state,
      since: DAY.getTime(),
      values: { ...VALUES, problem: words.name, relay: words.host },
    }) as pages.AdminCheck;
  const well = WELL.map(([name, reason]) => check(name, reason, "ok"));
  return {
    "admin-sign-in": (view) => pages.adminSignInPage(view, { form: to("sign-in") }),
    "admin-sign-in-error": (view) =>
      pages.adminSignInPage(view, {
        form: to("sign-in"),
        errors: { password: view.t.admin.signIn.wrong },
      }),
    "admin-home": (view) => pages.adminHomePage(view, { frame, worst: "ok", checks: well, backups, server }),
    "admin-home-begun": (view) =>
      pages.adminHomePage(view, {
        frame: { ...frame, done: view.t.admin.backups.begun },
        worst: "warn",
        checks: well.map((one) => (one.name === "mail" ? check("mail", "mailWaits", "warn") : one)),
        backups: { ...backups, isRunning: true, isDrilling: true },
        server,
      }),
    ...unwellSamples(words, { check, server, backups }),
    ...accountSamples(words),
  };
}

/** Every reason there is, and what there is to do about it. */
function unwellSamples(
  words: SampleWords,
  {
    check,
    server,
    backups,
  }: {
    check: (name: string, reason: string, state: pages.AdminCheckState) => pages.AdminCheck;
    server: pages.AdminServer;
    backups: pages.AdminBackups;
  },
): Samples {
  const { reasons, todo } = textsOf("en").admin;
  const kinds = ["shipping", "drill", "mail", "relays", "backup", "events"] as const;
  const checks = Object.keys(reasons).map((reason) => {
    const name = kinds.find((kind) => reason.startsWith(kind)) ?? "disk";
    return check(name, reason, reason in todo ? "fail" : "ok");
  });
  return {
    "admin-home-unwell": (view) =>
      pages.adminHomePage(view, {
        frame,
        worst: "fail",
        checks,
        backups: {
          ...backups,
          proven: undefined,
          failure: { at: LATER, message: `Could not write "${words.name}"` },
          shipped: { at: DAY, isUpToDate: false },
          drill: {
            at: LATER,
            seconds: 3,
            problem: `1 account would lose something, such as ${words.handle}`,
          },
        },
        server: { ...server, disk: undefined },
      }),
    "admin-home-bare": (view) =>
      pages.adminHomePage(view, {
        frame: { ...frame, done: view.t.admin.backups.drillBegun },
        worst: "warn",
        checks: [],
        backups: {
          destination: undefined,
          isRunning: false,
          isDrilling: false,
          runNow: to("backup"),
          drillNow: to("drill"),
        },
        server: { ...server, accounts: {} },
      }),
  };
}

function accountSamples({ handle }: SampleWords): Samples {
  const states = ["active", "deactivated", "takendown", "suspended", "creating", "deleting"] as const;
  const accounts = states.map((state, at) => ({
    did: DID,
    handle,
    state,
    joined: DAY,
    ...(at === 3 ? {} : { sizes: { repoBytes: 1_400_000 * at, blobBytes: 230_000_000 * at } }),
  }));
  return {
    "admin-accounts": (view) =>
      pages.adminAccountsPage(view, {
        frame,
        accounts,
        nextUrl: "/admin/accounts?cursor=1",
        firstUrl: "/admin/accounts",
      }),
    "admin-accounts-none": (view) => pages.adminAccountsPage(view, { frame, accounts: [] }),
  };
}
