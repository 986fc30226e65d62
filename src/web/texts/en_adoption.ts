/** Of the page to which the owner of an account comes back, who was asked to let it become a community. */
export const adoptionEn = {
  askTitle: { adopt: "Make this account a community?", reauth: "Let this server in again?" },
  asker: "Asked for by",
  account: "The account",
  server: "Its server",
  lead: {
    adopt: (asker: string, site: string) =>
      `${asker} asks to make your account a community on ${site}. If you agree:`,
    reauth: (asker: string, site: string) =>
      `${asker}, an owner of this community on ${site}, asks you to let this server in again. If you agree:`,
  },
  points: {
    adopt: (asker: string) => [
      `${asker} becomes the owner of the community, and decides who else belongs to it.`,
      "They, and whom they allow it, can write and delete records and upload files as this account.",
      "They get neither its password nor its identity: you can take this back at its server at any time.",
    ],
    reauth: () => [
      "The members who may publish can write and delete records and upload files as this account again.",
      "They get neither its password nor its identity: you can take this back at its server at any time.",
    ],
  },
  warning: "Agree only if you know who asked, and what for.",
  agree: "Agree",
  refuse: "Do not agree",
  doneTitle: { adopt: "The account is a community now", reauth: "This server is let in again" },
  done: {
    adopt: (asker: string) =>
      `${asker} is its owner. You can close this page and go back to where you came from.`,
    reauth: () =>
      "Its members can publish as before. You can close this page and go back to where you came from.",
  },
  refusedTitle: "Nothing was changed",
  refused: "You did not agree, so this server was not let in. You can close this page.",
  failedTitle: "That did not work, and nothing was changed",
  failed: {
    gone: "This consent was used already, or it took longer than ten minutes. Ask for a new link where you got this one.",
    denied:
      "The account's server did not let this server in. Ask for a new link where you got this one, and try again.",
    wrongAccount:
      "The consent is that of another account, or allows less than writing records and uploading files. Ask for a new link, and choose the right account at its server.",
    already: "The account is a community here already. Its owners can let you in.",
    quota:
      "Whoever asked has as many communities as they may have here. They can delete one, or ask the operators of this server.",
    notAllowed:
      "Whoever asked may not do this here any more. An owner of the community, or the operators of this server, can.",
    mixedUp:
      "The answer does not go together with what was asked. Ask for a new link where you got this one.",
    unreachable:
      "The account's server did not answer as it should. Ask for a new link where you got this one, and try again in a few minutes.",
  },
};
