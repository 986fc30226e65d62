/** A did:web moves: its owner alone can change its document, and `kith migrate` says what it has to say, and waits. */
import { expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { createServiceJwt } from "@atproto/xrpc-server";
import { createRecord, PASSWORD, post, repoCar, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { judgeRepo, signingKeyOf } from "../judges.ts";
import { EXIT_UNANSWERED, Migrator } from "../migrator.ts";
import { PlcDirectory } from "../plc_directory.ts";

const NEW_PASSWORD = "a password of the new place";

test("a did:web moves once its document says what it was asked to", async () => {
  await using plc = await PlcDirectory.start();
  await using old = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
  await using next = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
  let document: Record<string, unknown> = {};
  await using site = Bun.serve({ port: 0, hostname: "localhost", fetch: () => Response.json(document) });
  const did = `did:web:localhost%3A${site.port}`;
  const key = await Secp256k1Keypair.create();
  const say = (didKey: string, endpoint: string) => {
    const publicKeyMultibase = didKey.replace(/^did:key:/, "");
    document = {
      "@context": ["https://www.w3.org/ns/did/v1"],
      id: did,
      alsoKnownAs: ["at://wendy.test"],
      verificationMethod: [{ id: `${did}#atproto`, type: "Multikey", controller: did, publicKeyMultibase }],
      service: [
        { id: "#mine", type: "Homepage", serviceEndpoint: "https://wendy.example" },
        { id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: endpoint },
      ],
    };
  };
  // The account is at the old server, by its owner's own signature.
  say(key.did(), old.url);
  const { json: described } = await xrpc(old.url, "com.atproto.server.describeServer");
  const lxm = "com.atproto.server.createAccount";
  const jwt = await createServiceJwt({ iss: did, aud: String(described.did), lxm, keypair: key });
  const body = { did, handle: "wendy.test", email: "wendy@example.com", password: PASSWORD };
  const made = await xrpc(old.url, lxm, { token: jwt, body });
  expect([made.status, made.error]).toEqual([200, undefined]);
  const token = String(made.json.accessJwt);
  const own = await xrpc(old.url, "com.atproto.identity.getRecommendedDidCredentials", { token });
  say((own.json.verificationMethods as { atproto: string }).atproto, old.url);
  const active = await xrpc(old.url, "com.atproto.server.activateAccount", { method: "POST", token });
  expect(active.status).toBe(200);
  await createRecord(old.url, { did, accessJwt: token }, { record: post("from my own domain") });

  using migrator = new Migrator({ plc: plc.url, sourcePassword: PASSWORD, targetPassword: NEW_PASSWORD });
  const run = () => migrator.run(["in", did, "--to", next.url, "--yes"]);
  const waiting = await run();
  expect([waiting.code, waiting.err]).toEqual([EXIT_UNANSWERED, expect.stringContaining("does not name")]);
  const text = /It has to say:\n(\{[\s\S]*\n\})/.exec(waiting.out)?.[1] ?? "";
  expect((await run()).code).toBe(EXIT_UNANSWERED);
  document = JSON.parse(text) as Record<string, unknown>;
  expect(document.service).toEqual([
    { id: "#mine", type: "Homepage", serviceEndpoint: "https://wendy.example" },
    { id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: next.url },
  ]);
  const ended = await run();
  expect([ended.code, ended.err]).toEqual([0, ""]);
  const repo = await judgeRepo(await repoCar(next.url, did), did, signingKeyOf(document));
  expect(repo.records.size).toBe(1);
  const status = await xrpc(old.url, "com.atproto.sync.getRepoStatus", { params: { did } });
  expect(status.json).toMatchObject({ active: false, status: "deactivated" });
}, 120_000);
