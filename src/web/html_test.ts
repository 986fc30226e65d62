import { expect, test } from "bun:test";
import { type Content, html, safeLink } from "./html.ts";

const HOSTILE = `</p><script>alert(1)</script>"'&<`;

test("html escapes what is put in, in text and in attributes", () => {
  const escaped = "&lt;/p&gt;&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;&amp;&lt;";
  expect(html`<p>${HOSTILE}</p>`.toString()).toBe(`<p>${escaped}</p>`);
  expect(html`<p title="a ${HOSTILE} b">x</p>`.toString()).toBe(`<p title="a ${escaped} b">x</p>`);
});

test("html takes its own pieces as they are, lists one after the other, and nothing for nothing", () => {
  const items = ["a", "<b>"].map((text) => html`<li>${text}</li>`);
  expect(html`<ul>${items}</ul>${undefined}${null}${false}${0}`.toString()).toBe(
    "<ul><li>a</li><li>&lt;b&gt;</li></ul>0",
  );
  expect(html`<input${html` required`}${false}>`.toString()).toBe("<input required>");
});

test("html refuses values where they cannot be made safe", () => {
  const refused: readonly (() => unknown)[] = [
    () => html`<a href=${"x"}>x</a>`,
    () => html`<script>${"x"}</script>`,
    () => html`<style>p { color: ${"red"} }</style>`,
    () => html`<p title="${html`<b>`}">x</p>`,
    () => html`<a href="${html`<b>`}">x</a>`,
    () => html`<p>${{ toString: () => "<b>" } as unknown as Content}</p>`,
  ];
  for (const make of refused) expect(make).toThrow(TypeError);
});

test("html lets no link attribute run anything", () => {
  for (const link of [
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    "java\nscript:alert(1)",
    "\u0001javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:x",
    "blob:https://x/y",
  ]) {
    expect(html`<a href="${link}">x</a>`.toString()).toBe('<a href="#">x</a>');
    expect(html`<form action="${link}">x</form>`.toString()).toBe('<form action="#">x</form>');
  }
});

test("safeLink leaves paths, web addresses, mail and the schemes of apps alone", () => {
  for (const link of [
    "/a?b=c#d",
    "https://a.example/",
    "http://127.0.0.1:80/",
    "mailto:a@b.example",
    "com.example.app:/cb",
    "?lang=de",
  ])
    expect(safeLink(link)).toBe(link);
});
