import { isKithError } from "../errors.ts";
import {
  type Command,
  DATA_OPTION,
  ENV_FILE_OPTION,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
} from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { printableLines } from "./table.ts";

/** `kith mail test ADDRESS`: sends one message at once, past the queue, and says what became of it. */
export const mailCommand: Command = {
  name: "mail",
  summary: "send a test message with the settings that hold: kith mail test ADDRESS",
  options: [ENV_FILE_OPTION, DATA_OPTION],
  operands: ["test", "ADDRESS"],
  run: async ({ options, rest: [verb, to] }, { io }) => {
    if (verb !== "test" || to === undefined) {
      io.err('kith mail: it takes "test" and an address: kith mail test you@example.com\n');
      return EXIT_USAGE;
    }
    const loaded = loadOrExplain({ options, io });
    if (loaded === undefined) return EXIT_CONFIG;
    const { config } = loaded;
    // Only this command and the server need it: the others start at once.
    const { createMailer, testMail } = await import("../mailer/mod.ts");
    const mailer = createMailer(config);
    if (mailer === undefined) {
      io.err("kith sends no mail: PDS_EMAIL_SMTP_URL and PDS_EMAIL_FROM_ADDRESS are not set\n");
      return EXIT_CONFIG;
    }
    try {
      await mailer.send(testMail({ to, host: config.hostname }));
    } catch (error) {
      if (!isKithError(error)) throw error;
      io.err(
        printableLines(`kith mail: ${error.message}\n${error.hint === undefined ? "" : `${error.hint}\n`}`),
      );
      return EXIT_FAILED;
    }
    const way = config.mail === undefined ? `kept in ${config.mailFolder}` : `sent from ${config.mail.from}`;
    io.out(`A test message to ${to} was ${way}\n`);
    return EXIT_OK;
  },
};
