/** Calls of the running server over its admin socket. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type {
  InferOutput,
  XRPCLexBodyParam,
  XRPCProcedureMetadata,
  XRPCQueryMetadata,
} from "@atcute/lexicons/validations";
import { adminSocketPath, socketPathProblem } from "../config/mod.ts";

export type Schema = XRPCQueryMetadata | XRPCProcedureMetadata;
export type OutputOf<S extends Schema> = S extends { readonly output: XRPCLexBodyParam<infer Body> }
  ? InferOutput<Body>
  : undefined;

/** The longest that a call may take: the deletion of a large account is waited for. */
const CALL_TIMEOUT_MS = 10 * 60_000;
/** The same for one that tells how it goes on. */
const LINES_TIMEOUT_MS = 7 * 24 * 3_600_000;

export interface AdminCall {
  readonly params?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  readonly input?: object;
  /** Somebody's token, for what the admin may not call. */
  readonly token?: string;
}

/** What the server refused, or why it could not be asked. */
export class AdminError extends Error {
  override readonly name = "AdminError";
  /** The XRPC error name; undefined where no server answered. */
  readonly error: string | undefined;
  readonly hint: string | undefined;
  /** True where nothing listens, as far as can be seen. */
  readonly isAlone: boolean;

  constructor(
    message: string,
    { error, hint, isAlone = false }: { error?: string; hint?: string; isAlone?: boolean } = {},
  ) {
    super(message);
    this.error = error;
    this.hint = hint;
    this.isAlone = isAlone;
  }
}

export class AdminClient {
  readonly #dataFolder: string;

  constructor(dataFolder: string) {
    this.#dataFolder = dataFolder;
  }

  /** Calls a method. Throws AdminError. */
  async call<S extends Schema>(
    schema: S,
    { params = {}, input, token }: AdminCall = {},
  ): Promise<OutputOf<S>> {
    const url = new URL(`http://localhost/xrpc/${schema.nsid}`);
    for (const [name, value] of Object.entries(params)) {
      for (const item of [value].flat()) if (item !== undefined) url.searchParams.append(name, String(item));
    }
    const response = await this.#send(url, {
      method: schema.type === "xrpc_procedure" ? "POST" : "GET",
      headers: {
        ...(input === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      body: input === undefined ? undefined : JSON.stringify(input),
    });
    const body = parseJson(await response.text());
    if (!response.ok) throw refusalOf(schema.nsid, { status: response.status, body });
    return body as OutputOf<S>;
  }

  /** Calls a procedure that answers line by line, as it goes on. Throws AdminError. */
  async *lines(schema: XRPCProcedureMetadata, input: object): AsyncIterable<unknown> {
    const url = new URL(`http://localhost/xrpc/${schema.nsid}`);
    const response = await this.#send(
      url,
      { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(input) },
      LINES_TIMEOUT_MS,
    );
    if (!response.ok || !response.body) {
      const body = parseJson(await response.text());
      throw refusalOf(schema.nsid, { status: response.status, body });
    }
    let text = "";
    const decoder = new TextDecoder();
    try {
      for await (const bytes of response.body) {
        text += decoder.decode(bytes, { stream: true });
        const whole = text.split("\n");
        text = whole.pop() ?? "";
        for (const line of whole) yield parseJson(line);
      }
    } catch (error) {
      throw explainUnreachable(this.#dataFolder, error);
    }
  }

  async #send(url: URL, init: RequestInit, timeoutMs = CALL_TIMEOUT_MS): Promise<Response> {
    const unix = adminSocketPath(this.#dataFolder);
    const problem = socketPathProblem(unix);
    if (problem)
      throw new AdminError(`Could not reach the server: ${problem.message}`, { hint: problem.hint });
    try {
      return await fetch(url, { ...init, unix, signal: AbortSignal.timeout(timeoutMs) });
    } catch (error) {
      throw explainUnreachable(this.#dataFolder, error);
    }
  }
}

export function parseJson(text: string): unknown {
  try {
    return text === "" ? undefined : JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusalOf(nsid: string, { status, body }: { status: number; body: unknown }): AdminError {
  const { error, message } = (body ?? {}) as { error?: unknown; message?: unknown };
  const name = typeof error === "string" ? error : undefined;
  const hint =
    name === "InternalServerError"
      ? "The log of the server has the details."
      : status === 501
        ? "The server that runs is of another version than this command."
        : undefined;
  return new AdminError(typeof message === "string" ? message : `"${nsid}" was answered ${status}`, {
    ...(name === undefined ? {} : { error: name }),
    ...(hint === undefined ? {} : { hint }),
  });
}

const NAME_THE_FOLDER =
  "Name the server's data folder with --data DIR, or its settings with --env-file FILE or the environment.";

/** Why nobody answered on the socket of a data folder, and what to do. */
export function explainUnreachable(dataFolder: string, error: unknown): AdminError {
  const socket = adminSocketPath(dataFolder);
  const { code } = (error ?? {}) as { code?: unknown };
  if (code === "EACCES" || code === "EPERM") {
    return new AdminError(`Could not open the admin socket "${socket}": permission denied`, {
      hint: "Only the user that runs the server may: run this command as that user, or as root.",
    });
  }
  if (code === "ENOENT" && !existsSync(dataFolder)) {
    return new AdminError(`There is no data folder "${dataFolder}"`, { hint: NAME_THE_FOLDER });
  }
  if (code === "ENOENT" && !existsSync(join(dataFolder, "kith.lock"))) {
    return new AdminError(`"${dataFolder}" is no data folder of kith`, { hint: NAME_THE_FOLDER });
  }
  if (code === "ENOENT" || code === "ECONNREFUSED") {
    return new AdminError(`No server runs on the data folder "${dataFolder}"`, {
      hint: "Start it with kith serve. If it runs, its log says why it has no admin socket.",
      isAlone: true,
    });
  }
  const reason = error instanceof Error ? error.message : String(error);
  return new AdminError(`The server on "${dataFolder}" did not answer: ${reason}`, {
    hint: "What was asked may have been done nevertheless: look before trying again.",
  });
}
