import { expect, test } from "bun:test";
import { type Notice, noticeMail } from "./notices.ts";

const FACTS = {
  to: "alice@example.com",
  handle: "alice.test",
  host: "pds.test",
  accountUrl: "https://pds.test/account",
};

test.each([
  [{ kind: "password_changed" }, "Your password was changed", "Dein Passwort wurde geändert"],
  [{ kind: "totp_added" }, "Authenticator app set up", "Authenticator-App eingerichtet"],
  [{ kind: "totp_removed" }, "Authenticator app removed", "Authenticator-App entfernt"],
  [{ kind: "backup_codes_renewed" }, "New backup codes", "Neue Ersatzcodes"],
  [{ kind: "email_codes_on" }, "Codes by e-mail turned on", "Codes per E-Mail eingeschaltet"],
  [{ kind: "email_codes_off" }, "Codes by e-mail turned off", "Codes per E-Mail ausgeschaltet"],
  [{ kind: "passkey_required" }, "Passkey required", "Passkey nötig"],
  [{ kind: "passkey_not_required" }, "Passkey not required any more", "Passkey nicht mehr nötig"],
  [{ kind: "passkey_added", name: "<b>Phone</b>" }, "Passkey added", "Passkey hinzugefügt"],
  [{ kind: "passkey_removed", name: "<b>Phone</b>" }, "Passkey removed", "Passkey entfernt"],
  [{ kind: "app_password_added", name: "<b>Phone</b>" }, "App password made", "App-Passwort gemacht"],
  [
    { kind: "handle_changed", name: "alice.example.com" },
    "Your handle was changed",
    "Dein Handle wurde geändert",
  ],
  [
    { kind: "email_changed", name: "new@example.com" },
    "Your e-mail address was changed",
    "Deine E-Mail-Adresse wurde geändert",
  ],
] as const)("noticeMail() of %j says what was done, and what to do", (notice: Notice, english, german) => {
  for (const [language, subject] of [
    ["en", english],
    ["de", german],
  ] as const) {
    const mail = noticeMail(notice, { ...FACTS, contact: "help@pds.test", language });
    expect([mail.to, mail.subject]).toEqual([FACTS.to, `${subject} (pds.test)`]);
    for (const text of ["@alice.test", FACTS.accountUrl, "help@pds.test"]) {
      expect(mail.text).toContain(text);
      expect(mail.html).toContain(text);
    }
    if ("name" in notice) expect(mail.text).toContain(notice.name);
    expect(mail.html).toContain(`<html lang="${language}">`);
    expect(mail.html).not.toContain("<b>");
  }
});
