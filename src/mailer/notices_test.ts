import { expect, test } from "bun:test";
import { type Notice, noticeMail } from "./notices.ts";

const FACTS = {
  to: "alice@example.com",
  handle: "alice.test",
  host: "pds.test",
  accountUrl: "https://pds.test/account",
};

test.each([
  [{ kind: "password_changed" }, "Your password was changed"],
  [{ kind: "totp_added" }, "Authenticator app set up"],
  [{ kind: "totp_removed" }, "Authenticator app removed"],
  [{ kind: "backup_codes_renewed" }, "New backup codes"],
  [{ kind: "email_codes_on" }, "Codes by e-mail turned on"],
  [{ kind: "email_codes_off" }, "Codes by e-mail turned off"],
  [{ kind: "passkey_required" }, "Passkey required"],
  [{ kind: "passkey_not_required" }, "Passkey not required any more"],
  [{ kind: "passkey_added", name: "<b>Phone</b>" }, "Passkey added"],
  [{ kind: "passkey_removed", name: "<b>Phone</b>" }, "Passkey removed"],
  [{ kind: "app_password_added", name: "<b>Phone</b>" }, "App password made"],
  [{ kind: "handle_changed", name: "alice.example.com" }, "Your handle was changed"],
  [{ kind: "email_changed", name: "new@example.com" }, "Your e-mail address was changed"],
] as const)("noticeMail() of %j says what was done, and what to do", (notice: Notice, subject) => {
  const mail = noticeMail(notice, { ...FACTS, contact: "help@pds.test" });
  expect([mail.to, mail.subject]).toEqual([FACTS.to, `${subject} (pds.test)`]);
  for (const text of ["@alice.test", FACTS.accountUrl, "help@pds.test"]) {
    expect(mail.text).toContain(text);
    expect(mail.html).toContain(text);
  }
  if ("name" in notice) expect(mail.text).toContain(notice.name);
  expect(mail.html).not.toContain("<b>");
});
