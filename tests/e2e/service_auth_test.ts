/** Tokens between servers: those that this server gives, and those that it takes. */
import { describe, expect, test } from "bun:test";
import { verifyJwt } from "@atproto/xrpc-server";
import { decodeJwt } from "jose";
import { xrpc } from "../client.ts";
import { KEY_TYPES } from "../harness.ts";
import { keyLookup, type Stage, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const GET = "com.atproto.server.getServiceAuth";
const UPLOAD = "com.atproto.repo.uploadBlob";

async function tokenOf(stage: Stage, params: Record<string, string | number>): Promise<string> {
  const answer = await xrpc(stage.url, GET, { params, token: stage.alice.accessJwt });
  expect(answer.status).toBe(200);
  return String(answer.json.token);
}

describe.each([...KEY_TYPES])("service auth (%s)", (keyType) => {
  const holder = useStage({ keyType });
  const serviceDid = async (stage: Stage) =>
    (await stage.alice.agent.com.atproto.server.describeServer()).data.did;

  test("getServiceAuth: the token is good for the service and the method, to the reference's verifier", async () => {
    const { stage } = holder;
    const aud = "did:web:api.example.com";
    const verify = (jwt: string, forAud: string, lxm: string | null) =>
      verifyJwt(jwt, forAud, lxm, (did) => keyLookup(stage.plc)(did));
    const jwt = await tokenOf(stage, { aud, lxm: UPLOAD });
    expect(await verify(jwt, aud, UPLOAD)).toMatchObject({ iss: stage.alice.did, aud, lxm: UPLOAD });
    await expect(verify(jwt, "did:web:other.example.com", UPLOAD)).rejects.toThrow();
    await expect(verify(jwt, aud, GET)).rejects.toThrow();
  });

  test("getServiceAuth: wants a session, and bounds the time", async () => {
    const { stage } = holder;
    const aud = await serviceDid(stage);
    const anonymous = await xrpc(stage.url, GET, { params: { aud } });
    expect([anonymous.status, anonymous.error]).toEqual([401, "AuthMissing"]);
    const exp = Math.floor(Date.now() / 1000) + 4_000;
    const late = await xrpc(stage.url, GET, { params: { aud, exp }, token: stage.alice.accessJwt });
    expect([late.status, late.error]).toEqual([400, "BadExpiration"]);
    const half = Math.floor(Date.now() / 1000) + 1_800;
    expect(decodeJwt(await tokenOf(stage, { aud, lxm: UPLOAD, exp: half })).exp).toBe(half);
  });

  test("uploadBlob: takes a service token for it, once", async () => {
    const { stage } = holder;
    const aud = await serviceDid(stage);
    const upload = (token: string) => xrpc(stage.url, UPLOAD, { token, body: new Uint8Array([1, 2, 3]) });
    for (const name of [aud, `${aud}#atproto_pds`]) {
      const token = await tokenOf(stage, { aud: name, lxm: UPLOAD });
      const answer = await upload(token);
      expect(answer.status).toBe(200);
      expect(answer.json.blob).toMatchObject({ $type: "blob", size: 3 });
      const again = await upload(token);
      expect([again.status, again.error]).toEqual([401, "BadJwt"]);
    }
    const others: Record<string, string>[] = [
      { aud, lxm: GET },
      { aud },
      { aud: "did:web:elsewhere.test", lxm: UPLOAD },
    ];
    for (const params of others) {
      const refused = await upload(await tokenOf(stage, params));
      expect([refused.status, refused.error]).toEqual([401, "BadJwt"]);
    }
  });

  test("uploadBlob: a token serves a deactivated account too, and none for longer than it is good", async () => {
    const { stage } = holder;
    const aud = await serviceDid(stage);
    const { accessJwt: session } = await stage.account("carol");
    const token = async (params: Record<string, string | number>) =>
      String(
        (await xrpc(stage.url, GET, { params: { aud, lxm: UPLOAD, ...params }, token: session })).json.token,
      );
    const early = await token({});
    let exp = 0;
    const short = await waitFor("a token of two seconds, asked for within them", async () => {
      exp = Math.floor(Date.now() / 1000) + 2;
      const jwt = await token({ exp });
      return jwt.startsWith("ey") && jwt;
    });
    await xrpc(stage.url, "com.atproto.server.deactivateAccount", { token: session, body: {} });
    const upload = (jwt: string) => xrpc(stage.url, UPLOAD, { token: jwt, body: new Uint8Array([4]) });
    expect((await upload(early)).status).toBe(200);
    await waitFor("the token to expire", () => Date.now() / 1000 > exp);
    const late = await upload(short);
    expect([late.status, late.error]).toEqual([401, "JwtExpired"]);
  });

  test("a service token opens nothing that wants a session", async () => {
    const { stage } = holder;
    const token = await tokenOf(stage, { aud: await serviceDid(stage) });
    const answer = await xrpc(stage.url, "com.atproto.server.getSession", { token });
    expect([answer.status, answer.error]).toEqual([400, "InvalidToken"]);
  });
});
