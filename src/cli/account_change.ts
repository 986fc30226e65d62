/** What `kith account` changes: takedowns, deletion, passwords, codes. */
import { nearestName } from "../config/mod.ts";
import { DevKithAdminCreateEmailCode, DevKithAdminResetSecondFactor } from "../lexicons/mod.ts";
import { PASSWORD_OPTION, passwordOf } from "./account_create.ts";
import { type FoundAccount, findAccount, nameOf } from "./account_read.ts";
import { type AdminContext, adminCommand, confirm, textOf, UsageError, YES_OPTION } from "./admin_command.ts";
import { type CommandOption, EXIT_FAILED, EXIT_OK } from "./command.ts";
import { facts } from "./table.ts";

const REF_OPTION: CommandOption = {
  name: "ref",
  value: "TEXT",
  help: "why: the number of a report, say; kept with the takedown",
};

export const takedownCommand = adminCommand({
  name: "account takedown",
  summary: "take an account down: nothing of it is served, and its owner can only carry it away",
  operands: ["ACCOUNT"],
  options: [
    REF_OPTION,
    { name: "reverse", value: undefined, help: "lift the takedown, as untakedown does" },
    YES_OPTION,
  ],
  run: (context) => setTakedown(context, { applied: context.given.options.reverse !== true }),
});

export const untakedownCommand = adminCommand({
  name: "account untakedown",
  summary: "lift the takedown of an account",
  operands: ["ACCOUNT"],
  run: (context) => setTakedown(context, { applied: false }),
});

async function setTakedown(context: AdminContext, { applied }: { applied: boolean }): Promise<number> {
  const { given, client } = context;
  const { ComAtprotoAdminUpdateSubjectStatus } = await import("@atcute/atproto");
  const account = await findAccount(client, given.rest[0] ?? "");
  if (applied && !(await confirm(`Take down ${nameOf(account)}?`, context))) return EXIT_FAILED;
  const ref = textOf(given, "ref");
  await client.call(ComAtprotoAdminUpdateSubjectStatus.mainSchema, {
    input: {
      subject: { $type: "com.atproto.admin.defs#repoRef", did: account.did },
      takedown: { applied, ...(ref === undefined ? {} : { ref }) },
    },
  });
  return tellChange(context, { account, change: applied ? "is taken down" : "is not taken down any more" });
}

export const deleteCommand = adminCommand({
  name: "account delete",
  summary: "delete an account for good, with everything in it",
  operands: ["ACCOUNT"],
  options: [YES_OPTION],
  run: async (context) => {
    const { given, client } = context;
    const { ComAtprotoAdminDeleteAccount } = await import("@atcute/atproto");
    const account = await findAccount(client, given.rest[0] ?? "");
    const question = `Delete ${nameOf(account)}, with everything in it? It cannot be brought back.`;
    if (!(await confirm(question, context))) return EXIT_FAILED;
    await client.call(ComAtprotoAdminDeleteAccount.mainSchema, { input: { did: account.did } });
    return tellChange(context, { account, change: "is deleted" });
  },
});

/** `change` ends a sentence that begins with the account's name. */
function tellChange(
  { io, isJson }: AdminContext,
  { account, change }: { account: FoundAccount; change: string },
): number {
  const { did, handle } = account;
  io.out(isJson ? `${JSON.stringify({ did, handle })}\n` : `${nameOf(account)} ${change}.\n`);
  return EXIT_OK;
}

export const resetPasswordCommand = adminCommand({
  name: "account reset-password",
  summary: "give an account a new password, which is made and printed once; all its sessions end",
  operands: ["ACCOUNT"],
  options: [PASSWORD_OPTION],
  run: async (context) => {
    const { given, client, io, isJson } = context;
    const { ComAtprotoAdminUpdateAccountPassword } = await import("@atcute/atproto");
    const account = await findAccount(client, given.rest[0] ?? "");
    const { did, handle } = account;
    const { password, isMade } = await passwordOf(context);
    await client.call(ComAtprotoAdminUpdateAccountPassword.mainSchema, { input: { did, password } });
    const shown = isMade ? password : undefined;
    if (isJson) io.out(`${JSON.stringify({ did, handle, password: shown })}\n`);
    else {
      io.out(
        facts([
          ["DID", did],
          ["handle", handle],
          ["password", shown ?? "as given"],
        ]),
      );
      if (isMade) io.err("Write the password down: it is kept nowhere and will not be shown again.\n");
    }
    return EXIT_OK;
  },
});

export const resetSecondFactorCommand = adminCommand({
  name: "account reset-second-factor",
  summary: "take every second factor of an account away: its password alone signs in again",
  operands: ["ACCOUNT"],
  options: [YES_OPTION],
  run: async (context) => {
    const { given, client, io } = context;
    const account = await findAccount(client, given.rest[0] ?? "");
    const question = `Take the authenticator app, codes and passkeys of ${nameOf(account)} away?`;
    if (!(await confirm(question, context))) return EXIT_FAILED;
    await client.call(DevKithAdminResetSecondFactor.mainSchema, {
      input: { did: account.did, ...operatorOf(io) },
    });
    return tellChange(context, { account, change: "signs in with its password alone" });
  },
});

/** Who runs the command, for the server's log. */
export function operatorOf({ env }: AdminContext["io"]): { operator?: string } {
  const operator = (env.SUDO_USER ?? env.USER)?.slice(0, 64);
  return operator === undefined ? {} : { operator };
}

/** What a code is for, and where its owner enters it. */
const PURPOSES: Readonly<Record<string, string>> = {
  confirm_email:
    "confirms the account's e-mail address: the owner enters it where the app asks for the code of the mail",
  update_email: "lets the owner change the account's e-mail address",
  reset_password: "sets a new password: whoever has it can take the account over",
  delete_account: "deletes the account, together with its password",
  plc_operation:
    "signs a change of the account's identity: whoever has it, signed in, can move the account away",
  second_factor: "signs in, together with the password, to an account that has codes by mail",
};

export const codeCommand = adminCommand({
  name: "account code",
  summary: `make the code that a mail would bring: ${Object.keys(PURPOSES).join(", ")}`,
  operands: ["ACCOUNT", "PURPOSE"],
  run: async ({ given, client, io, isJson }) => {
    const [name = "", typed = ""] = given.rest;
    const purpose = purposeOf(typed);
    const account = await findAccount(client, name);
    const { code, expiresAt } = await client.call(DevKithAdminCreateEmailCode.mainSchema, {
      input: { did: account.did, purpose, ...operatorOf(io) },
    });
    const { did, handle } = account;
    if (isJson) {
      io.out(`${JSON.stringify({ did, handle, purpose, code, expiresAt })}\n`);
      return EXIT_OK;
    }
    const minutes = Math.round((Date.parse(expiresAt) - Date.now()) / 60_000);
    io.out(
      facts([
        ["account", nameOf(account)],
        ["purpose", purpose],
        ["code", code],
        ["valid", `${minutes} minutes, until ${expiresAt}`],
      ]),
    );
    io.err(`It ${PURPOSES[purpose]}. Give it to nobody but the owner. The server's log has noted it.\n`);
    return EXIT_OK;
  },
});

/** With dashes as with underscores. Throws UsageError. */
function purposeOf(typed: string): string {
  const purpose = typed.toLowerCase().replaceAll("-", "_");
  if (Object.hasOwn(PURPOSES, purpose)) return purpose;
  const near = nearestName(purpose, Object.keys(PURPOSES));
  const words =
    near === undefined ? `: it is one of ${Object.keys(PURPOSES).join(", ")}` : `: did you mean "${near}"?`;
  throw new UsageError(`there is no purpose "${typed}"${words}`);
}
