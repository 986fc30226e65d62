/** A server that hands every request on to a real one, but for those that a test answers itself. */
import { Secp256k1Keypair } from "@atproto/crypto";
import * as plcLib from "@did-plc/lib";
import type { PlcDirectory } from "./plc_directory.ts";

/** Answers a request; `forward` hands it (or another body) on. */
export type Script = (
  request: Request,
  forward: (body?: string) => Promise<Response>,
) => Response | Promise<Response>;

export class ScriptedHost implements AsyncDisposable {
  /** By the last word of the path. */
  readonly scripts = new Map<string, Script>();
  /** The last word of each path that was asked for. */
  readonly asked: string[] = [];
  readonly #server: Bun.Server<undefined>;

  constructor(target: string) {
    this.#server = Bun.serve({
      port: 0,
      hostname: "localhost",
      fetch: async (request) => {
        const { pathname, search } = new URL(request.url);
        const name = pathname.split(/[/.]/).at(-1) ?? "";
        this.asked.push(name);
        const bytes = request.method === "POST" ? await request.arrayBuffer() : undefined;
        const forward = (body?: string) => {
          const headers = new Headers(request.headers);
          for (const hop of ["host", "connection", "content-length", "transfer-encoding"])
            headers.delete(hop);
          return fetch(`${target}${pathname}${search}`, {
            method: request.method,
            headers,
            redirect: "manual",
            ...(bytes === undefined ? {} : { body: body ?? bytes }),
          });
        };
        const script = this.scripts.get(name);
        const copy = new Request(request.url, {
          method: request.method,
          headers: request.headers,
          ...(bytes === undefined ? {} : { body: bytes }),
        });
        return script ? await script(copy, forward) : await forward();
      },
    });
  }

  get url(): string {
    return `http://localhost:${this.#server.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

/** Has a DID lead to another server, by the rotation key of the one that it is at. */
export async function leadTo(
  endpoint: string,
  { did, plc, rotationKeyHex }: { did: string; plc: PlcDirectory; rotationKeyHex: string },
): Promise<void> {
  const signer = await Secp256k1Keypair.import(Buffer.from(rotationKeyHex, "hex"));
  const last = (await plc.log(did)).at(-1) as unknown as plcLib.CompatibleOp;
  const operation = await plcLib.createUpdateOp(last, signer, (state) => ({
    ...state,
    services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint } },
  }));
  const answer = await fetch(`${plc.url}/${did}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(operation),
  });
  if (!answer.ok) throw new Error(`The PLC directory answers ${answer.status}: ${await answer.text()}`);
}
