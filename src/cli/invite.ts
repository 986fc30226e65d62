/** `kith invite create`. */
import { findAccount } from "./account_read.ts";
import { adminCommand, countOf, textOf } from "./admin_command.ts";
import { type CommandGroup, EXIT_OK } from "./command.ts";

const createCommand = adminCommand({
  name: "invite create",
  summary: "make invite codes, one a line",
  operands: [],
  options: [
    { name: "count", value: "N", help: "how many codes (1)" },
    { name: "uses", value: "N", help: "how many accounts each may make (1)" },
    { name: "for", value: "ACCOUNT", help: "whose codes they are (the operator's)" },
  ],
  run: async ({ given, client, io, isJson }) => {
    const input = { codeCount: countOf(given, "count", 1), useCount: countOf(given, "uses", 1) };
    const { ComAtprotoServerCreateInviteCodes } = await import("@atcute/atproto");
    const owner = textOf(given, "for");
    const forAccounts = owner === undefined ? undefined : [(await findAccount(client, owner)).did];
    const made = await client.call(ComAtprotoServerCreateInviteCodes.mainSchema, {
      input: { ...input, forAccounts },
    });
    const lines = made.codes.flatMap(({ account, codes }) =>
      codes.map((code) => (isJson ? JSON.stringify({ code, uses: input.useCount, account }) : code)),
    );
    io.out(lines.map((line) => `${line}\n`).join(""));
    return EXIT_OK;
  },
});

export const inviteCommands: CommandGroup = {
  name: "invite",
  summary: "invite codes of the running server",
  commands: [createCommand],
};
