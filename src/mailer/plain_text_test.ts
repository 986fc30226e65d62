import { expect, test } from "bun:test";
import { isHtml, moderatorMail, plainText } from "./mod.ts";

test.each([
  ["<p>one</p><p>two</p>", "one\n\ntwo\n"],
  ["one<br>two<br/>three", "one\ntwo\nthree\n"],
  ["<ul><li>one</li><li>two</li></ul>", "- one\n- two\n"],
  ['see <a href="https://a.example/?x=1&amp;y=2">here</a>', "see here (https://a.example/?x=1&y=2)\n"],
  ["<a href='mailto:a@example.com'>a@example.com</a>", "a@example.com\n"],
  ["a &lt;b&gt; &amp; &#99; &#x64; &unheard; &#0;", "a <b> & c d &unheard; &#0;\n"],
  ["<style>p { color: red }</style><script>1</script><!-- no --><b>bold</b>", "bold\n"],
  ["  many \n\n  spaces  ", "many spaces\n"],
])("plainText(%j)", (html, expected) => {
  expect(plainText(html)).toBe(expected);
});

test.each([
  ["plain", false],
  ["a < b > c", false],
  ["<3 you", false],
  ["<p>yes", true],
  ["line<br/>line", true],
  ['<a href="x">y</a>', true],
])("isHtml(%j) is %s", (text, expected) => {
  expect(isHtml(text)).toBe(expected);
});

test("moderatorMail() has text and HTML, whichever it was written in", () => {
  const mail = { to: "a@example.com", subject: "Hi" };
  const written = moderatorMail({ ...mail, content: "one & two\n\nthree" });
  expect(written).toMatchObject({ ...mail, via: "moderation", text: "one & two\n\nthree\n" });
  expect(written.html).toContain("<p>one &amp; two</p>\n<p>three</p>");
  const html = "<p>one</p>";
  expect(moderatorMail({ ...mail, content: html })).toEqual({
    ...mail,
    via: "moderation",
    text: "one\n",
    html,
  });
});
