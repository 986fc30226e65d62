/** `kith community ...`: communities at a kith, for its members; over the network, from any machine. */
import type { CommandGroup } from "./command.ts";
import {
  adoptCommand,
  deleteCommand,
  grantCommand,
  reauthCommand,
  revokeCommand,
} from "./community_change.ts";
import {
  inviteCreateCommand,
  inviteListCommand,
  inviteRedeemCommand,
  inviteRevokeCommand,
} from "./community_invite.ts";
import { keyCommand, moveCommand } from "./community_move.ts";
import { mintCommand, newCommand } from "./community_new.ts";
import { postCommand, publishCommand, uploadCommand } from "./community_publish.ts";
import { healthCommand, listCommand, membersCommand, showCommand } from "./community_read.ts";

export const communityCommands: CommandGroup = {
  name: "community",
  summary: "communities: identities that a group publishes as (docs/communities.md)",
  commands: [
    newCommand,
    mintCommand,
    adoptCommand,
    keyCommand,
    listCommand,
    showCommand,
    healthCommand,
    reauthCommand,
    moveCommand,
    deleteCommand,
    publishCommand,
    postCommand,
    uploadCommand,
    membersCommand,
    grantCommand,
    revokeCommand,
    inviteCreateCommand,
    inviteListCommand,
    inviteRevokeCommand,
    inviteRedeemCommand,
  ],
};
