/** The answers of a move: from options, the environment and files, or else from the person at the terminal. */
import { readFileSync } from "node:fs";
import { isHandle } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { type Asker, type Summary, Unanswered } from "../migration/mod.ts";
import { type Prompt, PromptEnded } from "./_prompt.ts";
import type { Arguments, Io } from "./command.ts";

const BLOBS_SHOWN_MAX = 10;

interface AskerOptions {
  readonly options: Arguments["options"];
  readonly io: Pick<Io, "env">;
  readonly prompt: Prompt | undefined;
  /** Shows several lines before a question. */
  readonly show: (text: string) => void;
}

/** An answer that was given beforehand counts once: where it was wrong, only a person can give another. */
class Given {
  readonly #options: AskerOptions;
  readonly #used = new Set<string>();

  constructor(options: AskerOptions) {
    this.#options = options;
  }

  /** The value of an option. */
  option(name: string): string | undefined {
    const value = this.#options.options[name];
    return typeof value === "string" ? this.#once(name, value) : undefined;
  }

  isSet(name: string): boolean {
    return this.#options.options[name] === true;
  }

  /** A password: of the environment, or the first line of a file. */
  password(which: "source" | "target", { again = false } = {}): string | undefined {
    const name = `KITH_${which.toUpperCase()}_PASSWORD`;
    const { env } = this.#options.io;
    const { [`${which}-password-file`]: option } = this.#options.options;
    const path = typeof option === "string" ? option : env[`${name}_FILE`];
    const value = path ? firstLine(path) : env[name];
    if (!value) return undefined;
    return again ? value : this.#once(name, value);
  }

  #once(name: string, value: string): string | undefined {
    if (this.#used.has(name)) return undefined;
    this.#used.add(name);
    return value;
  }
}

function firstLine(path: string): string {
  try {
    return readFileSync(path, "utf8").split(/\r?\n/)[0] ?? "";
  } catch (cause) {
    throw new KithError("config_invalid", `The password file "${path}" cannot be read`, { cause });
  }
}

interface Answers {
  readonly given: Given;
  readonly hasPerson: boolean;
  readonly show: (text: string) => void;
  ask(
    question: string,
    about: { flag: string; wrong?: string | undefined; secret?: boolean },
  ): Promise<string>;
  /** A switch, or a yes. */
  yes(question: string, flag: string): Promise<boolean>;
}

export function createAsker(options: AskerOptions): Asker {
  const given = new Given(options);
  const { show, prompt } = options;
  const ask: Answers["ask"] = async (question, { flag, wrong, secret = false }) => {
    if (prompt === undefined) {
      const message = wrong === undefined ? `This needs an answer: ${question}` : `Not accepted: ${wrong}`;
      throw new Unanswered(message, { hint: `Run the same command again with ${flag}.` });
    }
    if (wrong !== undefined) show(`That was not accepted: ${wrong}`);
    return await answered(secret ? prompt.secret(`${question}: `) : prompt.line(`${question}: `));
  };
  const yes: Answers["yes"] = async (question, flag) =>
    given.isSet(flag) || /^y(es)?$/i.test((await ask(`${question} [y/N]`, { flag: `--${flag}` })).trim());
  const answers = { given, show, ask, yes, hasPerson: prompt !== undefined };
  return { ...passwords(answers), ...names(answers), ...decisions(answers) };
}

function passwords({
  given,
  ask,
}: Answers): Pick<Asker, "sourcePassword" | "targetPassword" | "factorCode" | "readyFactorCode"> {
  return {
    sourcePassword: async ({ host, handle, wrong }) =>
      given.password("source") ??
      (await ask(`Password of "${handle}" at ${host} (not an app password)`, {
        flag: "KITH_SOURCE_PASSWORD or --source-password-file FILE",
        wrong,
        secret: true,
      })),
    readyFactorCode: () => given.option("factor-code"),
    factorCode: async ({ host, wrong }) =>
      await ask(
        `Sign-in code of ${host} (second factor: from its mail about signing in, or from your authenticator)`,
        { flag: "--factor-code CODE", wrong },
      ),
    targetPassword: async ({ host, isNew, wrong }) => {
      const flag = "KITH_TARGET_PASSWORD or --target-password-file FILE";
      const ready = given.password("target", { again: wrong === undefined });
      if (ready !== undefined) return ready;
      if (!isNew) return await ask(`Password of the new account at ${host}`, { flag, wrong, secret: true });
      const first = await ask(`Choose a password for the new account at ${host}`, {
        flag,
        wrong,
        secret: true,
      });
      const second = await ask("The same once more", { flag, secret: true });
      if (first === second) return first;
      throw new Unanswered("The two passwords were not the same", { hint: "Run the same command again." });
    },
  };
}

function names({
  given,
  ask,
  hasPerson,
}: Answers): Pick<Asker, "email" | "handle" | "inviteCode" | "plcCode"> {
  return {
    email: async ({ host, known, wrong }) => {
      const ready = given.option("email") ?? (wrong === undefined ? known : undefined);
      return (
        ready ?? (await ask(`E-mail address for the account at ${host}`, { flag: "--email ADDRESS", wrong }))
      );
    },
    handle: async ({ host, proposal, isOwn, wrong }) => {
      const ready = given.option("handle");
      if (ready !== undefined) return ready;
      if (wrong === undefined && (isOwn || !hasPerson)) return proposal;
      const typed = await ask(`Handle at ${host} (empty: ${proposal})`, { flag: "--handle HANDLE", wrong });
      const handle = typed.trim() || proposal;
      return isHandle(handle) ? handle : proposal;
    },
    inviteCode: async ({ host, wrong }) =>
      given.option("invite-code") ??
      (await ask(`Invite code of ${host}`, { flag: "--invite-code CODE", wrong })),
    plcCode: async ({ host, email, wrong }) =>
      given.option("plc-code") ??
      (await ask(
        `Identity code (PLC update) that ${host} has mailed to ${email ?? "you"}; it is not the sign-in code; empty for a new one`,
        { flag: "--plc-code CODE", wrong },
      )),
  };
}

function decisions({ show, ask, yes }: Answers): Pick<Asker, "leaveBehind" | "goAhead" | "documentReady"> {
  return {
    leaveBehind: async ({ blobs }) => {
      show(`${blobs.length} images or films cannot be brought along:`);
      for (const { cid, recordUri = "", why } of blobs.slice(0, BLOBS_SHOWN_MAX))
        show(`  ${cid} ${recordUri}: ${why}`);
      if (blobs.length > BLOBS_SHOWN_MAX) show(`  and ${blobs.length - BLOBS_SHOWN_MAX} more`);
      return await yes("Go on without them?", "without-blobs");
    },
    goAhead: async (summary) => {
      show(summaryText(summary));
      return await yes("Change the identity now? It cannot be taken back from here", "yes");
    },
    documentReady: async ({ did, document, wrong }) => {
      show(`${wrong}. It has to say:\n${document}`);
      await ask(`Press Enter once the document of ${did} says so`, { flag: "the document changed", wrong });
      return true;
    },
  };
}

async function answered(answer: Promise<string>): Promise<string> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof PromptEnded)) throw error;
    throw new Unanswered("Stopped", {
      hint: "Everything so far is kept: run the same command again to go on.",
    });
  }
}

function summaryText(summary: Summary): string {
  const { did, from, to, handleBefore, handle, source, target, preferences, rotationKeys, keysDropped } =
    summary;
  const lines = [
    "",
    `Everything is at the new server. What follows changes the identity:`,
    `  account       ${did}`,
    `  server        ${from} -> ${to}`,
    `  handle        ${handleBefore === handle ? `${handle} (stays)` : `${handleBefore} -> ${handle}`}`,
    `  records       ${source.records} there, ${target.records} here`,
    `  blobs         ${source.blobsExpected} there, ${target.blobs} here${summary.lostBlobs > 0 ? `, ${summary.lostBlobs} left behind` : ""}`,
    `  preferences   ${preferences === undefined ? "none kept there" : `${preferences}, the same here`}`,
    ...(rotationKeys ?? []).map(({ key, from: origin }) => `  rotation key  ${key} (${origin})`),
    ...keysDropped.map((key) => `  taken away    ${key}`),
    "",
  ];
  return lines.join("\n");
}
