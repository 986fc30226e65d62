/** `bun tools/mails.ts FOLDER`: pictures of every mail by Chromium (CHROMIUM names it), light and dark, phone and desk, in every language. */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import {
  type CodePurpose,
  codeMail,
  MAIL_LANGUAGES,
  type Mail,
  type MailLanguage,
  type Notice,
  noticeMail,
  welcomeMail,
} from "../src/mailer/mod.ts";

const SIZES = { phone: { width: 390, height: 700 }, desk: { width: 1000, height: 600 } } as const;
const TO = { to: "ada@example.com", handle: "ada.pds.example.com", host: "pds.example.com" };
const PURPOSES: readonly CodePurpose[] = [
  "confirm_email",
  "update_email",
  "reset_password",
  "delete_account",
  "plc_operation",
  "second_factor",
];
const NOTICES: readonly Notice[] = [
  { kind: "password_changed" },
  { kind: "passkey_added", name: "The old telephone" },
  { kind: "email_changed", name: "ada.lovelace@mail.example.org" },
];

function mailsIn(language: MailLanguage): [string, Mail][] {
  const facts = { ...TO, language };
  const accountUrl = "https://pds.example.com/account";
  const contact = "hello@example.com";
  return [
    ["welcome", welcomeMail(facts)],
    ...PURPOSES.map((purpose): [string, Mail] => [
      purpose,
      codeMail(purpose, { ...facts, code: "ABCDE-FGH23", minutes: 15 }),
    ]),
    ...NOTICES.map((notice): [string, Mail] => [
      notice.kind,
      noticeMail(notice, { ...facts, accountUrl, contact }),
    ]),
  ];
}

const [to] = process.argv.slice(2);
if (to === undefined) {
  console.error("Could not render: give the folder to put the pictures into");
  process.exit(1);
}
const folder = resolve(to);
mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox"],
});
for (const [size, viewport] of Object.entries(SIZES)) {
  for (const colorScheme of ["light", "dark"] as const) {
    const page = await (await browser.newContext({ viewport, colorScheme })).newPage();
    for (const language of MAIL_LANGUAGES) {
      for (const [name, { html = "" }] of mailsIn(language)) {
        await page.setContent(html);
        await page.screenshot({ path: join(folder, `${name}-${language}-${size}-${colorScheme}.png`) });
      }
    }
  }
}
await browser.close();
console.log(`Pictures of ${mailsIn("en").length} mails in ${folder}`);
