/** Exports that nobody reads, against the bound on open repos. */
import { expect, test } from "bun:test";
import { createRecord } from "../client.ts";
import { Stage } from "../stage.ts";
import { stallAfterFirstByte } from "../stalled_socket.ts";

test("exports that nobody reads give way where others wait for an open repo", async () => {
  await using stage = await Stage.open({ keyType: "k256", env: { KITH_OPEN_REPOS_MAX: "2" } });
  const text = "x".repeat(900_000);
  const owners = [stage.alice, await stage.account("bob")];
  for (const owner of owners) {
    for (let n = 0; n < 8; n += 1) {
      await createRecord(stage.url, owner, { collection: "dev.kith.test.large", record: { n, text } });
    }
  }
  const sockets = await Promise.all(
    owners.map(({ did }) =>
      stallAfterFirstByte(
        stage.server.port,
        `GET /xrpc/com.atproto.sync.getRepo?did=${did} HTTP/1.1\r\nHost: localhost\r\n\r\n`,
      ),
    ),
  );
  const carol = await stage.account("carol");
  expect(
    (await createRecord(stage.url, carol, { record: { text: "in", createdAt: "2026-01-01T00:00:00Z" } })).uri,
  ).toContain(carol.did);
  for (const socket of sockets) socket.destroy();
}, 120_000);
