/** `kith request-crawl [RELAY...]`. */
import { DevKithAdminRequestCrawl } from "../lexicons/mod.ts";
import { adminCommand } from "./admin_command.ts";
import { EXIT_FAILED, EXIT_OK } from "./command.ts";
import { Table } from "./table.ts";

export const requestCrawlCommand = adminCommand({
  name: "request-crawl",
  summary: "ask relays to crawl the server now: those named, else those of PDS_CRAWLERS",
  operands: ["[RELAY]..."],
  run: async ({ given, client, io, isJson }) => {
    // With commas as well, as PDS_CRAWLERS is written.
    const named = given.rest.flatMap((word) => word.split(",")).filter((word) => word !== "");
    const input = named.length > 0 ? { relays: named } : {};
    const { hostname, relays } = await client.call(DevKithAdminRequestCrawl.mainSchema, { input });
    if (relays.length === 0) {
      io.err("kith request-crawl: no relay is set: name one, or set PDS_CRAWLERS\n");
      return EXIT_FAILED;
    }
    if (isJson) io.out(relays.map((answer) => `${JSON.stringify({ ...answer, hostname })}\n`).join(""));
    else {
      const rows = relays.map(({ relay, accepted, message = "" }) => [
        relay,
        accepted ? `was asked to crawl ${hostname}` : message,
      ]);
      new Table(["RELAY", "ANSWER"], io.out).add(rows);
    }
    return relays.every(({ accepted }) => accepted) ? EXIT_OK : EXIT_FAILED;
  },
});
