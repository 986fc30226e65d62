/** An HTTP proxy (`HTTP_PROXY`) that stops answering at a request that a test names, as a network does that is cut. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Cut {
  /** The end of the path: the NSID of a method. */
  readonly at: string;
  /** `before` it is handed on, `half-way` through its answer, or `after` it has been done and before it is answered. */
  readonly when: "before" | "half-way" | "after";
}

export class StoppingProxy implements AsyncDisposable {
  /** The paths of all requests, with their ports, in order. */
  readonly requests: string[] = [];
  cut: Cut | undefined;
  /** Called where it has stopped. */
  onCut: () => void = () => undefined;
  /** Requests to these ports fail at once. */
  readonly down = new Set<string>();
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  static async start(): Promise<StoppingProxy> {
    const server = createServer((request, response) => void proxy.#handle(request, response));
    const proxy = new StoppingProxy(server);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "");
    this.requests.push(`${url.port}${url.pathname}`);
    const chunks: Uint8Array[] = [];
    for await (const chunk of request) chunks.push(chunk as Uint8Array);
    if (this.down.has(url.port)) return void response.destroy();
    const { cut } = this;
    const isCut = cut !== undefined && url.pathname.endsWith(cut.at);
    if (isCut) this.cut = undefined;
    if (isCut && cut.when === "before") return this.onCut();
    const {
      host: _host,
      connection: _connection,
      "transfer-encoding": _encoding,
      ...headers
    } = request.headers;
    const answer = await fetch(url, {
      method: request.method ?? "GET",
      headers: headers as Record<string, string>,
      redirect: "manual",
      decompress: false,
      ...(request.method === "POST" ? { body: Buffer.concat(chunks) } : {}),
    }).catch(() => undefined);
    if (answer === undefined) return void response.destroy();
    const bytes = new Uint8Array(await answer.arrayBuffer());
    if (isCut && cut.when === "after") return this.onCut();
    const { "transfer-encoding": _chunked, ...answerHeaders } = Object.fromEntries(answer.headers);
    response.writeHead(answer.status, { ...answerHeaders, "content-length": bytes.length });
    if (!isCut) return void response.end(bytes);
    response.write(bytes.subarray(0, bytes.length / 2), () => this.onCut());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
