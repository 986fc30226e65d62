import { expect, test } from "bun:test";
import { type CodePurpose, codeMail, type MailLanguage, welcomeMail } from "./mod.ts";

const PURPOSES: CodePurpose[] = [
  "confirm_email",
  "update_email",
  "reset_password",
  "delete_account",
  "plc_operation",
  "second_factor",
];
/** What every mail with a code says. */
const SAID: Record<MailLanguage, readonly (string | RegExp)[]> = {
  en: ["Hello @alice.test,", "15 minutes", /If you (?:did not ask|are not signing in)/, 'lang="en"'],
  de: ["Hallo @alice.test,", "15 Minuten", /Wenn du (?:das nicht|dich gerade nicht)/, 'lang="de"'],
};
const facts = { to: "a@b.c", handle: "alice.test", host: "pds.test", code: "ABCDE-FGHIJ", minutes: 15 };

for (const language of ["en", "de"] as const) {
  test.each(PURPOSES)(
    `codeMail(%p) in "${language}" says in text and HTML what the code is for`,
    (purpose) => {
      const mail = codeMail(purpose, { ...facts, language });
      for (const part of [`lang="${language}" ${mail.text}`, mail.html ?? ""]) {
        expect(part).toContain("ABCDE-FGHIJ");
        for (const said of SAID[language]) expect(part).toMatch(said);
      }
      expect(mail.subject).toEndWith(" (pds.test)");
      expect(mail.html).not.toMatch(/https?:|<script|<img/);
    },
  );
}

test("codeMail() words differ by purpose and language", () => {
  const subjects = (["en", "de"] as const).flatMap((language) =>
    PURPOSES.map((purpose) => codeMail(purpose, { ...facts, language }).subject),
  );
  expect(new Set(subjects).size).toBe(subjects.length);
});

test("welcomeMail() escapes what it shows in HTML, and only there", () => {
  const { text, html } = welcomeMail({ to: "a@b.c", handle: "<b>&\"'", host: "pds.test" });
  expect(text).toContain("<b>&\"'");
  expect(html).toContain("&lt;b&gt;&amp;&quot;&#39;");
});

test("welcomeMail() welcomes in the member's language", () => {
  const to = { to: "a@b.c", handle: "alice.test", host: "pds.test" };
  expect(welcomeMail(to).subject).toBe("Welcome to pds.test");
  const mail = welcomeMail({ ...to, language: "de" });
  expect([mail.subject, mail.text.includes("alice.test")]).toEqual(["Willkommen bei pds.test", true]);
});
