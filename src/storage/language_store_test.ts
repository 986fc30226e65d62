import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { AccountStore } from "./account_store.ts";
import { Hub } from "./hub.ts";
import { Keyring } from "./keyring.ts";
import { LanguageStore } from "./language_store.ts";

test("LanguageStore keeps the last language of an account that is there, and forgets it with the account", async () => {
  await using folder = new Fixture();
  const hub = await Hub.open(folder.file("accounts.sqlite"), folder.options);
  const accounts = new AccountStore(hub, Keyring.open(folder.file("master.key")));
  await accounts.beginAccount({
    did: "alice",
    handle: "alice.test",
    email: null,
    passwordHash: "main",
    signingKey: { type: "k256", privateKey: new Uint8Array(32).fill(7) },
    genesisOperation: Uint8Array.of(5),
    now: 1,
  });
  await accounts.finishCreation("alice", "active");
  const languages = new LanguageStore(hub);
  await languages.setLanguage("nobody", "de");
  await languages.setLanguage("alice", "de");
  await languages.setLanguage("alice", "en");
  expect([languages.languageOf("nobody"), languages.languageOf("alice")]).toEqual([undefined, "en"]);
  await accounts.finishDeletion("alice");
  await languages.setLanguage("alice", "de");
  expect(languages.languageOf("alice")).toBeUndefined();
  await hub.close();
});
