import { expect, test } from "bun:test";
import { exampleEnv, VERSION } from "../config/mod.ts";
import { main } from "./mod.ts";

async function run(argv: readonly string[], env: Record<string, string> = {}) {
  let [out, err] = ["", ""];
  const io = {
    env,
    cwd: "/srv",
    isTerminal: false,
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
  };
  const loadServer = () => Promise.reject(new Error("no server here"));
  const code = await main(argv, { io, loadServer });
  return { code, out, err };
}

test.each([
  [["version"], 0, `kith ${VERSION}\n`, ""],
  [["--version"], 0, `kith ${VERSION}\n`, ""],
  [["frobnicate"], 2, "", 'kith: unknown command "frobnicate"\n"kith help" lists the commands.\n'],
  [
    ["sevre"],
    2,
    "",
    'kith: unknown command "sevre": did you mean "serve"?\n"kith help" lists the commands.\n',
  ],
  [
    ["help", "confg"],
    2,
    "",
    'kith: unknown command "confg": did you mean "config"?\n"kith help" lists the commands.\n',
  ],
  [
    ["serve", "--prot", "1"],
    2,
    "",
    'kith serve: unknown option "--prot": did you mean "--port"?\n"kith help serve" shows how it is used.\n',
  ],
  [
    ["serve", "--port"],
    2,
    "",
    'kith serve: "--port" needs a value: --port N\n"kith help serve" shows how it is used.\n',
  ],
  [
    ["serve", "now"],
    2,
    "",
    'kith serve: unexpected argument "now"\n"kith help serve" shows how it is used.\n',
  ],
  [["serve", "-p"], 2, "", 'kith serve: unknown option "-p"\n"kith help serve" shows how it is used.\n'],
  [
    ["config", "--example=1"],
    2,
    "",
    'kith config: "--example" takes no value\n"kith help config" shows how it is used.\n',
  ],
  [["config", "--example"], 0, exampleEnv(), ""],
  [
    ["account", "crate"],
    2,
    "",
    'kith account: unknown command "crate": did you mean "create"?\n"kith help account" lists the commands.\n',
  ],
  [
    ["help", "account", "lst"],
    2,
    "",
    'kith account: unknown command "lst": did you mean "list"?\n"kith help account" lists the commands.\n',
  ],
  [["help", "serve", "now"], 2, "", 'kith help: unexpected argument "now"\n'],
  [
    ["account", "takedown", "alice.test", "--reverze"],
    2,
    "",
    'kith account takedown: unknown option "--reverze": did you mean "--reverse"?\n"kith help account takedown" shows how it is used.\n',
  ],
  [
    ["account", "info"],
    2,
    "",
    'kith account info: ACCOUNT is missing\n"kith help account info" shows how it is used.\n',
  ],
  [
    ["account", "code", "alice.test"],
    2,
    "",
    'kith account code: PURPOSE is missing\n"kith help account code" shows how it is used.\n',
  ],
  [
    ["account", "code", "alice.test", "reset-pasword"],
    2,
    "",
    'kith account code: there is no purpose "reset-pasword": did you mean "reset_password"?\n"kith help account code" shows how it is used.\n',
  ],
  [
    ["account", "create", "alice@example.com"],
    2,
    "",
    'kith account create: it takes an e-mail address and a handle\n"kith help account create" shows how it is used.\n',
  ],
  [
    ["account", "create", "alice.test", "bob.test", "--email", "a@b.example"],
    2,
    "",
    'kith account create: it takes one e-mail address and one handle, not also "bob.test"\n"kith help account create" shows how it is used.\n',
  ],
  [
    ["invite", "create", "--uses", "0"],
    2,
    "",
    'kith invite create: "--uses" must be a whole number of 1 or more, not "0"\n"kith help invite create" shows how it is used.\n',
  ],
  [
    ["import-reference", "--dry-run"],
    2,
    "",
    'kith import-reference: which folder? Give the data folder of the reference PDS\n"kith help import-reference" shows how it is used.\n',
  ],
  [
    ["import-reference", "/pds"],
    2,
    "",
    'kith import-reference: where to? Give a folder of kith\'s own, empty or not there yet, with --data FOLDER\n"kith help import-reference" shows how it is used.\n',
  ],
  [
    ["account", "list", "--data", "/nowhere/kith"],
    1,
    "",
    'kith account list: There is no data folder "/nowhere/kith"\nName the server\'s data folder with --data DIR, or its settings with --env-file FILE or the environment.\n',
  ],
] as [string[], number, string, string][])("kith %j", async (argv, code, out, err) => {
  expect(await run(argv)).toEqual({ code, out, err });
});

test.each([[[]], [["help"]], [["--help"]]])("kith %j lists the commands", async (argv) => {
  const { code, out } = await run(argv);
  expect(code).toBe(0);
  for (const name of ["serve", "config", "version", "help"])
    expect(out).toMatch(new RegExp(`^ {2}${name} `, "m"));
});

test.each([[["help", "account"]], [["account", "--help"]]])("kith %j lists its commands", async (argv) => {
  const { code, out } = await run(argv);
  expect(code).toBe(0);
  for (const name of ["list", "info ACCOUNT", "create [EMAIL] [HANDLE]", "takedown", "code ACCOUNT PURPOSE"])
    expect(out).toContain(`\n  account ${name} `);
});

test.each([[["help"]], [["help", "account"]], [["backup", "--help"]], [["restore", "--help"]]])(
  "kith %j fits into 80 columns",
  async (argv) => {
    const { out } = await run(argv);
    expect(out.split("\n").filter((line) => line.length > 80)).toEqual([]);
  },
);

test.each([[["backup", "--help"]], [["help", "backup"]]])(
  "kith %j names the commands beside it",
  async (argv) => {
    const { out } = await run(argv);
    expect(out).toContain("\n  --take-over ");
    for (const name of ["drill [DEST]", "list [DEST]", "check [DEST]", "new-key"])
      expect(out).toContain(`\n  backup ${name} `);
  },
);

test("kith account lists its commands, as an error", async () => {
  const { code, out, err } = await run(["account"]);
  expect([code, out]).toEqual([2, ""]);
  expect(err).toContain("Usage: kith account COMMAND");
});

test.each([[["help", "account", "delete"]], [["account", "delete", "--help"]]])(
  "kith %j explains account delete",
  async (argv) => {
    const { code, out } = await run(argv);
    expect(code).toBe(0);
    expect(out).toContain("Usage: kith account delete [options] ACCOUNT\n");
    for (const option of ["--yes", "--json", "--data DIR", "--env-file FILE"]) expect(out).toContain(option);
  },
);

test.each([[["help", "serve"]], [["serve", "--help"]], [["serve", "-h"]]])(
  "kith %j explains serve",
  async (argv) => {
    const { code, out } = await run(argv);
    expect(code).toBe(0);
    expect(out).toMatch(/^kith serve: run the server\n\nUsage: kith serve \[options\]\n/);
    for (const option of ["--env-file FILE", "--port N", "--data DIR"]) expect(out).toContain(option);
  },
);

test("kith config prints values with their sources, and warnings apart", async () => {
  const { code, out, err } = await run(["config"], { PDS_PORT: "99", PDS_HOST_NAME: "x" });
  expect(code).toBe(0);
  expect(out).toMatch(/^PDS_PORT +99 {2}\(environment\)$/m);
  expect(err).toBe("warning: PDS_HOST_NAME is not a setting of kith: did you mean PDS_HOSTNAME?\n");
});

test("kith config reports every problem and exits 78", async () => {
  const { code, err } = await run(["config", "--env-file", "/nowhere/kith.env"], { PDS_PORT: "x" });
  expect(code).toBe(78);
  expect(err).toContain('  The environment file "/nowhere/kith.env" cannot be read: it does not exist\n');
  expect(err).toContain('  PDS_PORT is "x": it must be a whole number from 0 to 65535\n');
});

test("main() turns any error into a sentence", async () => {
  expect(await run(["serve"])).toEqual({ code: 1, out: "", err: "kith serve: no server here\n" });
});
