/** `kith reap`: takes back attempts at communities that nobody goes on with. */
import { DevKithAdminListAttempts, DevKithAdminReapAttempt } from "../lexicons/mod.ts";
import { ageOf, durationOf } from "./_duration.ts";
import { operatorOf } from "./account_change.ts";
import { AdminError } from "./admin_client.ts";
import { type AdminContext, adminCommand, textOf, UsageError, YES_OPTION } from "./admin_command.ts";
import { type Command, EXIT_FAILED, EXIT_OK } from "./command.ts";
import { printableLines, type Row, Table } from "./table.ts";

/** Somebody may still go on with one that is younger. */
const OLDER_THAN_MS = 30 * 60_000;
const PAGE_ENTRIES = 100;

interface AttemptView {
  readonly id: string;
  readonly state: string;
  readonly kind: string;
  readonly caller: string;
  readonly did?: string;
  readonly handle?: string;
  readonly pdsEndpoint?: string;
  readonly idleSeconds?: number;
  readonly lastError?: string;
  readonly verdict?: string;
  readonly reaped?: boolean;
}

export const reapCommand: Command = adminCommand({
  name: "reap",
  summary:
    "take back attempts at communities that came to no end; without --no-dry-run it only says what it would do",
  operands: [],
  options: [
    { name: "attempt-id", value: "ID", help: "this attempt" },
    { name: "all-stuck", value: undefined, help: "every attempt that is stuck" },
    {
      name: "older-than",
      value: "TIME",
      help: "stuck are those that have not gone on for so long: 90s, 30m, 12h, 7d (30m)",
    },
    { name: "no-dry-run", value: undefined, help: "do it: a question for each, and no terminal means no" },
    YES_OPTION,
  ],
  run: async (context) => {
    const { given } = context;
    const { "attempt-id": id, "all-stuck": all, "no-dry-run": act } = given.options;
    const olderThanMs = durationOf(given, "older-than", OLDER_THAN_MS);
    const olderThanSeconds = olderThanMs / 1_000;
    if (id !== undefined && all === true)
      throw new UsageError('give "--attempt-id" or "--all-stuck", not both');
    if (id === undefined && all !== true) {
      if (act === true) throw new UsageError('which attempts? Give "--attempt-id ID" or "--all-stuck"');
      return await listStuck(context, olderThanSeconds);
    }
    const named = textOf(given, "attempt-id");
    const ids = named === undefined ? (await stuck(context, olderThanSeconds)).map((one) => one.id) : [named];
    if (ids.length === 0) return sayNone(context);
    return act === true
      ? await reapAll(context, { ids, olderThanSeconds })
      : await judgeAll(context, { ids, olderThanSeconds });
  },
});

interface Chosen {
  readonly ids: readonly string[];
  readonly olderThanSeconds: number;
}

/** All of them are read before the first is taken back, which would move the pages. */
async function stuck({ client }: AdminContext, olderThanSeconds: number): Promise<AttemptView[]> {
  const found: AttemptView[] = [];
  let cursor: string | undefined;
  do {
    const params = { olderThanSeconds, limit: PAGE_ENTRIES, cursor };
    const page = await client.call(DevKithAdminListAttempts.mainSchema, { params });
    found.push(...(page.attempts as AttemptView[]));
    cursor = page.cursor;
  } while (cursor !== undefined);
  return found;
}

function sayNone({ io, isJson }: AdminContext): number {
  if (!isJson) io.out("No attempt is stuck.\n");
  return EXIT_OK;
}

async function listStuck(context: AdminContext, olderThanSeconds: number): Promise<number> {
  const { io, isJson } = context;
  const attempts = await stuck(context, olderThanSeconds);
  if (attempts.length === 0) return sayNone(context);
  if (isJson) io.out(attempts.map((attempt) => `${JSON.stringify(attempt)}\n`).join(""));
  else {
    const table = tableOf(io.out);
    for (const attempt of attempts) show(attempt, { table, out: io.out });
    io.err(
      'Whoever began one can go on with it. "kith reap --all-stuck" or "--attempt-id ID" says what taking back would do, and does it with --no-dry-run.\n',
    );
  }
  return EXIT_OK;
}

async function judgeAll(context: AdminContext, { ids, olderThanSeconds }: Chosen): Promise<number> {
  const { io, isJson } = context;
  const table = tableOf(io.out);
  let isWhole = true;
  for (const id of ids) {
    const attempt = await reap(context, { id, olderThanSeconds, dryRun: true });
    if (attempt === undefined) isWhole = false;
    else if (isJson) io.out(`${JSON.stringify(attempt)}\n`);
    else show(attempt, { table, out: io.out });
  }
  if (!isJson) io.err("Nothing was done: this was a dry run. With --no-dry-run it is done.\n");
  return isWhole ? EXIT_OK : EXIT_FAILED;
}

async function reapAll(context: AdminContext, { ids, olderThanSeconds }: Chosen): Promise<number> {
  const { io, isJson } = context;
  const table = tableOf(io.out);
  let left = 0;
  for (const id of ids) {
    const judged = await reap(context, { id, olderThanSeconds, dryRun: true });
    if (judged && !isJson) show(judged, { table, out: io.out });
    const isSure = judged !== undefined && (await mayReap(context, judged));
    const done = isSure ? await reap(context, { id, olderThanSeconds, dryRun: false }) : judged;
    if (done?.reaped !== true) left++;
    if (isJson && done) io.out(`${JSON.stringify(done)}\n`);
    else if (isSure && done)
      io.out(printableLines(`${id}: ${done.reaped ? "" : "left as it is: "}${done.verdict ?? ""}\n`));
  }
  io.err(`${ids.length - left} taken back, ${left} left as they are.\n`);
  return left === 0 ? EXIT_OK : EXIT_FAILED;
}

/** A yes for this one; no terminal means no. */
async function mayReap({ given, io }: AdminContext, { id, handle, did }: AttemptView): Promise<boolean> {
  if (given.options.yes === true) return true;
  if (io.ask === undefined) {
    io.err(`${id} is left as it is: there is nobody to ask, and no --yes.\n`);
    return false;
  }
  const name = [handle, did].filter((part) => part !== undefined).join(", ");
  const answer = await io.ask(
    printableLines(
      `Take back ${id}${name === "" ? "" : ` (${name})`}? It cannot be gone on with any more. [y/N] `,
    ),
  );
  return /^y(es)?$/i.test(answer.trim());
}

/** Undefined where the server would not look at this one: the others are gone on with. */
async function reap(
  { client, io, given }: AdminContext,
  input: { id: string; olderThanSeconds: number; dryRun: boolean },
): Promise<AttemptView | undefined> {
  try {
    const { attempt } = await client.call(DevKithAdminReapAttempt.mainSchema, {
      input: { ...input, ...operatorOf(io) },
    });
    return attempt as AttemptView;
  } catch (error) {
    if (!(error instanceof AdminError) || error.error === undefined || given.options["all-stuck"] !== true)
      throw error;
    io.err(printableLines(`${input.id}: ${error.message}\n`));
    return undefined;
  }
}

function tableOf(out: (text: string) => void): Table {
  return new Table(["ATTEMPT", "IDLE", "STATE", "HANDLE", "DID", "SERVER"], out);
}

function rowOf(attempt: AttemptView): Row {
  const { id, state, kind, handle = "-", did = "-", pdsEndpoint, idleSeconds = 0 } = attempt;
  const server = pdsEndpoint === undefined ? kind : `${kind} ${pdsEndpoint}`;
  return [id, ageOf(idleSeconds), state, handle, did, server];
}

/** A row, and below it what is too long for a column. */
function show(attempt: AttemptView, { table, out }: { table: Table; out: (text: string) => void }): void {
  table.add([rowOf(attempt)]);
  const { lastError, verdict } = attempt;
  if (lastError !== undefined) out(printableLines(`  last error: ${lastError.replaceAll("\n", " ")}\n`));
  if (verdict !== undefined) out(printableLines(`  ${verdict.replaceAll("\n", " ")}\n`));
}
