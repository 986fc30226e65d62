import { expect, test } from "bun:test";
import { type CodePurpose, codeMail, welcomeMail } from "./mod.ts";

const PURPOSES: CodePurpose[] = [
  "confirm_email",
  "update_email",
  "reset_password",
  "delete_account",
  "plc_operation",
];
const facts = { to: "a@b.c", handle: "alice.test", host: "pds.test", code: "ABCDE-FGHIJ", minutes: 15 };

test.each(PURPOSES)("codeMail(%p) says in text and HTML what the code is for", (purpose) => {
  const mail = codeMail(purpose, facts);
  for (const part of [mail.text, mail.html ?? ""]) {
    expect(part).toContain("ABCDE-FGHIJ");
    expect(part).toContain("alice.test");
    expect(part).toContain("15 minutes");
    expect(part).toContain("If you did not ask for this");
  }
  expect(mail.subject).toEndWith(" (pds.test)");
  expect(mail.html).not.toMatch(/https?:|<script|<img/);
});

test("codeMail() words differ by purpose", () => {
  expect(new Set(PURPOSES.map((purpose) => codeMail(purpose, facts).subject)).size).toBe(PURPOSES.length);
});

test("welcomeMail() escapes what it shows in HTML, and only there", () => {
  const { text, html } = welcomeMail({ to: "a@b.c", handle: "<b>&\"'", host: "pds.test" });
  expect(text).toContain("<b>&\"'");
  expect(html).toContain("&lt;b&gt;&amp;&quot;&#39;");
});
