/** What comes with a community, and making one several times at once. */
import { describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { xrpc } from "../client.ts";
import { useStage } from "../stage.ts";
import { community, type Hosting, provision, provisionInput, ROOM } from "./group.ts";

describe.each<Hosting>(["native", "stock"])("a new community (%s)", (hosting) => {
  const holder = useStage({ env: ROOM });

  test("fault 5: a declaration is written when it is active, and every way to read it answers at once", async () => {
    const { stage } = holder;
    const declaration = {
      collection: "dev.kith.test.group",
      rkey: "self",
      record: { $type: "dev.kith.test.group", name: "Orchard" },
    };
    const { did } = await provision(stage.url, stage.alice, { name: "orchard", hosting, declaration });
    const { collection, record } = declaration;
    const read = async (nsid: string, params: Record<string, string>) => {
      const { status, json } = await xrpc(stage.url, `com.atproto.${nsid}`, { params });
      return status === 200 ? json : { nsid, status, json };
    };
    const one = await read("repo.getRecord", { repo: did, collection, rkey: "self" });
    expect(one).toMatchObject({ value: record });
    const all = await read("repo.listRecords", { repo: did, collection });
    expect(all).toMatchObject({ records: [{ value: record }] });
    expect(await read("repo.describeRepo", { repo: did })).toMatchObject({ did, collections: [collection] });
    expect(await read("sync.getRepoStatus", { did })).toMatchObject({ did, active: true });
    expect(await read("sync.getLatestCommit", { did })).toHaveProperty("rev");
  });

  test("two calls at once make one community", async () => {
    const { stage } = holder;
    const body = provisionInput(await Secp256k1Keypair.create(), {
      handle: "meadow.test",
      hosting,
      ...(hosting === "stock" ? { email: "meadow@example.com" } : {}),
    });
    const answers = await Promise.all(
      [1, 2, 3].map(async () => {
        const { json } = await community(stage.url, "provision", { token: stage.alice.accessJwt, body });
        return json;
      }),
    );
    expect(new Set(answers.map(({ communityDid }) => communityDid)).size).toBe(1);
    expect(answers.filter((answer) => "rootCredentials" in answer)).toHaveLength(
      hosting === "native" ? 0 : 1,
    );
    expect((await stage.plc.log(String(answers[0]?.communityDid))).length).toBe(hosting === "native" ? 1 : 2);
  });
});
