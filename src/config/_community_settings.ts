/** Who may make communities, and where: rows of the table in settings.ts. */
import { z } from "zod";
import * as as from "./_schemas.ts";
import { type Setting, setting } from "./_setting.ts";

/** "members", "anyone", or DIDs. */
const creators = z.string().transform((value, context) => {
  const words = value
    .split(",")
    .map((word) => word.trim())
    .filter((word) => word !== "");
  if (words.length === 1 && (words[0] === "members" || words[0] === "anyone")) return words[0];
  const wrong = words.find((word) => !as.did.safeParse(word).success);
  if (wrong === undefined && words.length > 0) return words;
  context.addIssue({ code: "custom", message: 'it must be "members", "anyone" or a list of DIDs' });
  return z.NEVER;
});

export const COMMUNITY_SETTINGS = {
  KITH_COMMUNITIES_ENABLED: setting({
    group: "Communities",
    help: "Whether communities can be made here. Those that are there go on either way.",
    fallback: "true",
    example: "false",
    schema: as.flag,
  }),
  KITH_COMMUNITY_CREATORS: setting({
    group: "Communities",
    help: "Who may make communities: members of this server, anyone (by a token of their own server's), or the members and these DIDs.",
    fallback: "members",
    example: "did:plc:z72i7hdynmk6r22z27h6tvur",
    schema: creators,
  }),
  KITH_COMMUNITY_PDS_ALLOWLIST: setting({
    group: "Communities",
    help: 'Other servers on which communities may get their account, as origins separated by commas; "*" for any public one. Without it, communities are made on this server only.',
    fallback: "none",
    example: "https://pds.example.org",
    emptyMeans: "none",
    schema: as.listOf(as.text),
  }),
  KITH_COMMUNITIES_PER_MEMBER: setting({
    group: "Communities",
    help: "The most communities that one creator may have here.",
    fallback: "10",
    example: "3",
    schema: as.whole(0, 100_000),
  }),
  KITH_COMMUNITIES_PER_MEMBER_PER_DAY: setting({
    group: "Communities",
    help: "The most that one creator may begin to make in 24 hours.",
    fallback: "3",
    example: "1",
    schema: as.whole(0, 100_000),
  }),
  KITH_COMMUNITIES_PER_DAY: setting({
    group: "Communities",
    help: "The most that all together may begin to make in 24 hours: each is an entry in the PLC directory, for ever.",
    fallback: "20",
    example: "50",
    schema: as.whole(0, 100_000),
  }),
} as const satisfies Readonly<Record<string, Setting>>;
