/** Runs the command line over a small stand-in for the server: tests of signals need a process of their own. */
import { KithError } from "../errors.ts";
import { type CreateServer, main } from "./mod.ts";

const createServer: CreateServer = async (config, { log }) => {
  const how = process.env.FIXTURE;
  if (how === "refuse")
    throw new KithError("data_folder_refused", "Could not open the data folder", { hint: "Take another." });
  if (how === "defect") throw new TypeError("undefined is not a function");
  const listener = Bun.serve({ port: config.port, hostname: "127.0.0.1", fetch: () => new Response("ok") });
  if (how === "reject") Promise.reject(new Error("nobody listens"));
  log.info("Started", { jwt: "x", note: `with ${config.secrets.jwtSecret}` });
  return {
    url: `http://127.0.0.1:${listener.port}`,
    made: ["the accounts database"],
    stop: async () => {
      if (how === "hang") await new Promise(() => setInterval(() => undefined, 1000));
      if (how === "fail") throw new Error("disk gone");
      await listener.stop(true);
    },
  };
};

process.exit(await main(process.argv.slice(2), { loadServer: async () => ({ createServer }) }));
