import { expect, test } from "bun:test";
import { callerOf } from "../../calls_fixture.ts";
import { accountsInEveryState } from "../repos_fixture.ts";
import { type AdminAccountOptions, adminAccountMethods } from "./account_methods.ts";

test.each(["did:web:localhost%3A8080", "did:plc:active"])(
  "updateAccountEmail finds an account by its very DID: %s",
  async (did) => {
    const changed: string[] = [];
    const [active] = accountsInEveryState();
    const options = {
      accounts: {
        byIdentifier: (name: string) => (name === did ? { ...active, did, state: "active" } : undefined),
      },
      credentials: { setEmail: async (...what: string[]) => void changed.push(...what) },
      log: { info() {}, warn() {}, error() {} },
    } as unknown as AdminAccountOptions;
    const call = callerOf(adminAccountMethods(options));
    const json = { account: did, email: "a@example.com" };
    const { status } = await call({ nsid: "com.atproto.admin.updateAccountEmail", as: "admin", json });
    expect([status, changed]).toEqual([200, [did, "a@example.com"]]);
  },
);
