/** `kith account ...`: the accounts of the running server. Names and options are those of goat and pdsadmin where they have them. */
import {
  codeCommand,
  deleteCommand,
  resetPasswordCommand,
  resetSecondFactorCommand,
  takedownCommand,
  untakedownCommand,
} from "./account_change.ts";
import { createCommand } from "./account_create.ts";
import { infoCommand, listCommand } from "./account_read.ts";
import { updateCommand } from "./account_update.ts";
import type { CommandGroup } from "./command.ts";

export const accountCommands: CommandGroup = {
  name: "account",
  summary: "the accounts of the running server",
  commands: [
    listCommand,
    infoCommand,
    createCommand,
    updateCommand,
    resetPasswordCommand,
    resetSecondFactorCommand,
    codeCommand,
    takedownCommand,
    untakedownCommand,
    deleteCommand,
  ],
};
