/** `kith health`. */
import { DevKithAdminGetHealth } from "../lexicons/mod.ts";
import { ageOf } from "./_duration.ts";
import { adminCommand } from "./admin_command.ts";
import { EXIT_FAILED, EXIT_OK } from "./command.ts";
import { facts, printableLines, Table, wrapped } from "./table.ts";

export const healthCommand = adminCommand({
  name: "health",
  summary:
    "whether all is well with the running server, and what to do where not; exits with 1 where something fails",
  operands: [],
  run: async ({ client, io, isJson }) => {
    const health = await client.call(DevKithAdminGetHealth.mainSchema);
    const { version, startedAt, state, lastProvenAt, checks } = health;
    const code = state === "fail" ? EXIT_FAILED : EXIT_OK;
    if (isJson) {
      io.out(`${JSON.stringify(health)}\n`);
      return code;
    }
    const ago = (at: string) => ageOf(Math.max(0, Math.floor((Date.now() - Date.parse(at)) / 1_000)));
    const rows = checks.map((check) => {
      const since = check.state === "ok" ? "" : `${ago(check.since)} ago`;
      return [check.name, check.state, since, check.message];
    });
    new Table(["CHECK", "STATE", "SINCE", "WHAT"], io.out, { wrapped: io.isTerminal }).add(rows);
    const todos = checks.flatMap(({ name, todo }) => (todo === undefined ? [] : [`${name}: ${todo}`]));
    if (todos.length > 0)
      io.out(
        printableLines(
          `\nWhat to do:\n${todos.map((todo) => `  ${io.isTerminal ? wrapped(todo, { indent: 4 }) : todo}\n`).join("")}`,
        ),
      );
    const up = startedAt === undefined ? "" : `, up ${ago(startedAt)}`;
    io.out(
      `\n${facts([
        ["Server", `kith ${version}${up}`],
        [
          "Last proven restorable",
          lastProvenAt === undefined ? "never" : `${lastProvenAt} (${ago(lastProvenAt)} ago)`,
        ],
      ])}`,
    );
    return code;
  },
});
