/** The overview, the browsers that the account is signed in in, and signing out. */
import type { Devices, SecondFactors } from "../../accounts/mod.ts";
import { type AccountState, accountHomePage, devicesPage, signedOutPage } from "../../web/mod.ts";
import type { AccountCall, AccountRoutes, PageAnswer } from "./account_call.ts";
import { ACCOUNT_PATH } from "./paths.ts";

export interface HomeParts {
  readonly factors: Pick<SecondFactors, "required">;
  readonly devices: Pick<Devices, "list" | "signOut" | "signOutAll" | "signOutOn" | "signOutOthers">;
}

export function homeRoutes(parts: HomeParts): AccountRoutes {
  return {
    "": { get: (call) => home(call, parts), isOpenWhenDown: true },
    devices: { get: (call) => listed(call, parts), isOpenWhenDown: true },
    "devices/sign-out": { post: (call) => signOutOne(call, parts), isOpenWhenDown: true },
    "devices/sign-out-others": { post: (call) => signOutOthers(call, parts), isOpenWhenDown: true },
    "sign-out": { post: (call) => signOut(call, parts), isOpenWhenDown: true },
    "sign-out-all": { post: (call) => signOutAll(call, parts), isOpenWhenDown: true },
  };
}

function home(call: AccountCall, { factors }: HomeParts): PageAnswer {
  const { email, emailConfirmedAt, state } = call.account;
  const html = accountHomePage(call.view, {
    frame: call.frame({ confirmed: call.view.t.account.email.confirmed }),
    state: state as AccountState,
    email: email === null ? undefined : { address: email, isConfirmed: emailConfirmedAt !== null },
    hasSecondFactor: factors.required(call.did).length > 0,
    signOutAll: call.device.accounts.length > 1 ? call.target("sign-out-all") : undefined,
  });
  return { html };
}

async function listed(call: AccountCall, { devices }: HomeParts): Promise<PageAnswer> {
  const rows = (await devices.list(call.did)).map((device) => ({
    userAgent: device.userAgent || undefined,
    ip: device.ip || undefined,
    signedIn: new Date(device.authenticatedAt),
    lastSeen: new Date(device.lastSeenAt),
    isThisOne: device.id === call.device.id,
    signOut: call.target("devices/sign-out", { id: device.id }),
  }));
  // the one that asks stands first
  rows.sort((a, b) => Number(b.isThisOne) - Number(a.isThisOne));
  const html = devicesPage(call.view, {
    frame: call.frame({ out: call.view.t.account.devices.signedOut }),
    devices: rows,
    signOutOthers: call.target("devices/sign-out-others"),
  });
  return { html };
}

async function signOutOne(call: AccountCall, parts: HomeParts): Promise<PageAnswer> {
  const id = call.field("id");
  if (id === call.device.id) return signOut(call, parts);
  await parts.devices.signOutOn(id, call.did);
  return call.to("devices", { done: "out" });
}

async function signOutOthers(call: AccountCall, { devices }: HomeParts): Promise<PageAnswer> {
  await devices.signOutOthers(call.did, call.device);
  return call.to("devices", { done: "out" });
}

async function signOut(call: AccountCall, { devices }: HomeParts): Promise<PageAnswer> {
  call.page.become(await devices.signOut(call.device, call.did));
  return { html: signedOutPage(call.view, { handle: call.account.handle, signInUrl: ACCOUNT_PATH }) };
}

async function signOutAll(call: AccountCall, { devices }: HomeParts): Promise<PageAnswer> {
  call.page.become(await devices.signOutAll(call.device));
  return { html: signedOutPage(call.view, { signInUrl: ACCOUNT_PATH }) };
}
