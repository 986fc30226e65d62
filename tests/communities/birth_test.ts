/** What comes with a community, and making one several times at once. */
import { describe, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { xrpc } from "../client.ts";
import { useStage } from "../stage.ts";
import { community, type Hosting, provision, provisionInput, ROOM } from "./group.ts";

describe.each<Hosting>(["native", "stock"])("a new community (%s)", (hosting) => {
  const holder = useStage({ env: ROOM });

  test("a declaration is written when it is active", async () => {
    const { stage } = holder;
    const declaration = {
      collection: "dev.kith.test.group",
      rkey: "self",
      record: { $type: "dev.kith.test.group", name: "Orchard" },
    };
    const { did } = await provision(stage.url, stage.alice, { name: "orchard", hosting, declaration });
    const read = await xrpc(stage.url, "com.atproto.repo.getRecord", {
      params: { repo: did, collection: declaration.collection, rkey: "self" },
    });
    expect(read.json.value).toEqual(declaration.record);
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
