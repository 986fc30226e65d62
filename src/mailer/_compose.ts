/** A mail out of paragraphs. */
import type { MailLanguage } from "./language.ts";
import type { Mail } from "./mailer.ts";

export type Paragraph = string | { readonly code: string } | { readonly sender: string };

/** Styles stand at each element, since not every mail program takes a style sheet; the sheet is only for dark ones. */
const FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,monospace";
const PAGE = `margin:0;padding:24px 16px;background-color:#f4f5f7;color:#1c1e21;font:16px/1.5 ${FONT}`;
const CARD =
  "max-width:560px;margin:0 auto;padding:24px;background-color:#ffffff;border:1px solid #dfe2e6;border-radius:8px;overflow-wrap:anywhere";
const CODE = `margin:20px 0;padding:16px 8px;background-color:#eef1f5;border-radius:6px;text-align:center;font:600 26px/1.2 ${MONO};letter-spacing:2px`;
const SENDER = "margin:24px 0 0;padding-top:16px;border-top:1px solid #dfe2e6;color:#5c636b;font-size:14px";
const SHEET = `:root{color-scheme:light dark}
@media (prefers-color-scheme:dark){
body{background-color:#121417!important;color:#e7e9ec!important}
.card{background-color:#1c1f24!important;border-color:#363b42!important}
.code{background-color:#2a2f37!important}
.sender{border-color:#363b42!important;color:#a3abb5!important}
}`;

/** The same words as text and as HTML; `language` is theirs, where it is known. */
export function compose(mail: {
  to: string;
  subject: string;
  paragraphs: readonly Paragraph[];
  language?: MailLanguage;
}): Mail {
  const { to, subject, paragraphs, language } = mail;
  const lang = language === undefined ? "" : ` lang="${language}"`;
  const text = paragraphs.map(textOf).join("\n\n");
  const head = [
    `<meta charset="utf-8">`,
    `<meta name="viewport" content="width=device-width,initial-scale=1">`,
    `<meta name="color-scheme" content="light dark">`,
    `<title>${escapeHtml(subject)}</title>`,
    `<style>${SHEET}</style>`,
  ].join("\n");
  const body = `<div class="card" style="${CARD}">\n${paragraphs.map(htmlOf).join("\n")}\n</div>`;
  const html = `<!doctype html>\n<html${lang}>\n<head>\n${head}\n</head>\n<body style="${PAGE}">\n${body}\n</body>\n</html>\n`;
  return { to, subject, text: `${text}\n`, html };
}

function textOf(one: Paragraph): string {
  if (typeof one === "string") return one;
  return "code" in one ? `    ${one.code}` : one.sender;
}

function htmlOf(one: Paragraph): string {
  if (typeof one === "string")
    return `<p style="margin:0 0 16px">${escapeHtml(one).replaceAll(/\r?\n/g, "<br>\n")}</p>`;
  if ("code" in one) return `<p class="code" style="${CODE}">${escapeHtml(one.code)}</p>`;
  return `<p class="sender" style="${SENDER}">${escapeHtml(one.sender)}</p>`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
