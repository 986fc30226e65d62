/** A mail out of paragraphs. */
import type { Mail } from "./mailer.ts";

export type Paragraph = string | { readonly code: string };

/** The same words as text and as HTML. */
export function compose(mail: { to: string; subject: string; paragraphs: readonly Paragraph[] }): Mail {
  const { to, subject, paragraphs } = mail;
  const text = paragraphs.map((one) => (typeof one === "string" ? one : `    ${one.code}`)).join("\n\n");
  const body = paragraphs
    .map((one) =>
      typeof one === "string"
        ? `<p>${escapeHtml(one)}</p>`
        : `<p style="font-family:monospace;font-size:24px;letter-spacing:2px">${escapeHtml(one.code)}</p>`,
    )
    .join("\n");
  const style = "font-family:sans-serif;font-size:16px;line-height:1.5;max-width:560px;margin:24px auto";
  const head = `<meta charset="utf-8"><title>${escapeHtml(subject)}</title>`;
  const html = `<!doctype html>\n<html lang="en">\n<head>${head}</head>\n<body style="${style}">\n${body}\n</body>\n</html>\n`;
  return { to, subject, text: `${text}\n`, html };
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
