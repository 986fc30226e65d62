/** `kith account update`: another e-mail address, another handle. */
import { findAccount, nameOf } from "./account_read.ts";
import { adminCommand, textOf, UsageError } from "./admin_command.ts";
import { EXIT_OK } from "./command.ts";

export const updateCommand = adminCommand({
  name: "account update",
  summary: "give an account another e-mail address or handle, for when its owner cannot",
  operands: ["ACCOUNT"],
  options: [
    { name: "email", value: "EMAIL", help: "the new e-mail address; its owner has to confirm it again" },
    {
      name: "handle",
      value: "HANDLE",
      help: "the new handle, also a reserved name; a name without a dot is put under the server's domain",
    },
  ],
  run: async ({ given, client, io, isJson }) => {
    const [email, typed] = [textOf(given, "email"), textOf(given, "handle")?.replace(/^@/, "")];
    if (email === undefined && typed === undefined)
      throw new UsageError("nothing is to be changed: give --email or --handle");
    const api = await import("@atcute/atproto");
    const account = await findAccount(client, given.rest[0] ?? "");
    const { did } = account;
    // Both may be refused. The handle goes first, as the directory may fail it.
    if (typed !== undefined) {
      const { availableUserDomains } = await client.call(api.ComAtprotoServerDescribeServer.mainSchema);
      const handle = typed.includes(".") ? typed : `${typed}${availableUserDomains[0] ?? ""}`;
      await client.call(api.ComAtprotoAdminUpdateAccountHandle.mainSchema, { input: { did, handle } });
      if (!isJson) io.out(`${nameOf(account)} has the handle ${handle} now.\n`);
    }
    if (email !== undefined) {
      const input = { account: did, email };
      await client.call(api.ComAtprotoAdminUpdateAccountEmail.mainSchema, { input });
      if (!isJson) io.out(`${nameOf(account)} has the e-mail address ${email} now.\n`);
    }
    if (isJson) {
      const info = await client.call(api.ComAtprotoAdminGetAccountInfo.mainSchema, { params: { did } });
      io.out(`${JSON.stringify({ did, handle: info.handle, email: info.email })}\n`);
    }
    return EXIT_OK;
  },
});
