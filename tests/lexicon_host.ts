/**
 * A publisher of lexicons with a did:web on loopback, made with the reference's own repo code: its repo holds what a test puts into
 * it, and it answers as honestly as the test wants.
 */
import { Secp256k1Keypair } from "@atproto/crypto";
import { getRecords, MemoryBlockstore, Repo, WriteOpAction } from "@atproto/repo";

const COLLECTION = "com.atproto.lexicon.schema";

export class LexiconHost implements AsyncDisposable {
  /** Records by NSID. */
  readonly records = new Map<string, Record<string, unknown>>();
  /** NSIDs that were asked for, oldest first. */
  readonly asked: string[] = [];
  /** NSIDs whose question is left open. */
  readonly silent = new Set<string>();
  /** NSIDs whose proof is signed by another key than the DID document's. */
  readonly forged = new Set<string>();
  readonly #server: Bun.Server<undefined>;
  readonly #keypair: Secp256k1Keypair;
  readonly #stranger: Secp256k1Keypair;

  private constructor(keypair: Secp256k1Keypair, stranger: Secp256k1Keypair) {
    this.#keypair = keypair;
    this.#stranger = stranger;
    this.#server = Bun.serve({
      port: 0,
      hostname: "localhost",
      idleTimeout: 0,
      fetch: (request) => this.#answer(new URL(request.url)),
    });
  }

  static async start(): Promise<LexiconHost> {
    return new LexiconHost(await Secp256k1Keypair.create(), await Secp256k1Keypair.create());
  }

  get did(): string {
    return `did:web:localhost%3A${this.#server.port}`;
  }

  /** Publishes a lexicon with these definitions. */
  publish(nsid: string, defs: Record<string, unknown>): void {
    this.records.set(nsid, { $type: COLLECTION, lexicon: 1, id: nsid, defs });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(url: URL): Promise<Response> {
    if (url.pathname === "/.well-known/did.json") return Response.json(this.#document());
    if (url.pathname !== "/xrpc/com.atproto.sync.getRecord") return new Response(null, { status: 404 });
    const nsid = url.searchParams.get("rkey") ?? "";
    this.asked.push(nsid);
    if (this.silent.has(nsid)) return await new Promise<never>(() => {});
    const record = this.records.get(nsid);
    if (!record) return Response.json({ error: "RecordNotFound", message: "Gone" }, { status: 400 });
    return new Response(await this.#proof(nsid, record));
  }

  async #proof(nsid: string, record: Record<string, unknown>): Promise<Uint8Array<ArrayBuffer>> {
    const storage = new MemoryBlockstore();
    const keypair = this.forged.has(nsid) ? this.#stranger : this.#keypair;
    const write = { action: WriteOpAction.Create as const, collection: COLLECTION, rkey: nsid, record };
    const repo = await Repo.create(storage, this.did, keypair, [write as never]);
    const chunks: Uint8Array[] = [];
    for await (const chunk of getRecords(storage, repo.cid, [{ collection: COLLECTION, rkey: nsid }])) {
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  }

  #document(): object {
    const id = this.did;
    const publicKeyMultibase = this.#keypair.did().slice("did:key:".length);
    return {
      id,
      verificationMethod: [{ id: `${id}#atproto`, type: "Multikey", controller: id, publicKeyMultibase }],
      service: [
        {
          id: "#atproto_pds",
          type: "AtprotoPersonalDataServer",
          serviceEndpoint: `http://localhost:${this.#server.port}`,
        },
      ],
    };
  }
}
