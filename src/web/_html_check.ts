/** Reads pages back as a browser would, to say what is wrong with them: for the tests. */

interface Element {
  readonly tag: string;
  readonly attributes: ReadonlyMap<string, string>;
  text: string;
}

export interface ReadPage {
  readonly elements: readonly Element[];
  /** Everything that is text, without markup. */
  readonly text: string;
}

/** What an HTML parser of its own kind (Bun's, which is lol-html) makes of a page. */
export async function readPage(page: string): Promise<ReadPage> {
  const elements: Element[] = [];
  const open: Element[] = [];
  let text = "";
  const rewriter = new HTMLRewriter().on("*", {
    element(element) {
      const read: Element = {
        tag: element.tagName,
        attributes: new Map(
          [...element.attributes].map(([name, value]) => [name ?? "", decode(value ?? "")]),
        ),
        text: "",
      };
      elements.push(read);
      if (!element.selfClosing && element.canHaveContent) {
        open.push(read);
        element.onEndTag(() => void open.pop());
      }
    },
    text(chunk) {
      text += chunk.text;
      for (const element of open) element.text += chunk.text;
    },
  });
  await rewriter.transform(new Response(page)).text();
  for (const element of elements) element.text = decode(element.text);
  return { elements, text: decode(text) };
}

function decode(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}

/** Faults that keep somebody from using a page by keyboard, screen reader or in their language. */
export function faultsOf({ elements }: ReadPage): string[] {
  const faults: string[] = [];
  const all = (tag: string) => elements.filter((element) => element.tag === tag);
  const ids = elements.flatMap(({ attributes }) => attributes.get("id") ?? []);
  const doubled = ids.filter((id, index) => ids.indexOf(id) !== index);
  if (doubled.length > 0) faults.push(`ids that are there twice: ${doubled.join(", ")}`);
  for (const tag of ["h1", "main", "title", "header", "footer"])
    if (all(tag).length !== 1) faults.push(`${all(tag).length} times <${tag}>`);
  if (!/^[a-z]{2}$/.test(all("html")[0]?.attributes.get("lang") ?? "")) faults.push("no lang");
  const labelled = new Set(all("label").map(({ attributes }) => attributes.get("for")));
  for (const element of elements) faults.push(...faultsOfElement(element, { ids, labelled }));
  faults.push(...faultsOfFocus(elements), ...faultsWithoutScript(elements));
  const levels = elements.filter(({ tag }) => /^h[1-6]$/.test(tag)).map(({ tag }) => Number(tag[1]));
  if (levels.some((level, index) => level > (levels[index - 1] ?? 1) + 1))
    faults.push("a heading skips a level");
  return faults;
}

/** What is wrong is read out first: the summary has the focus, and nothing else wants it. */
function faultsOfFocus(elements: readonly Element[]): string[] {
  const has = (name: string) => (element: Element) => element.attributes.has(name);
  const focused = elements.filter(has("autofocus"));
  const isRefused = elements.some(has("aria-invalid"));
  const [first] = focused;
  if (focused.length > 1) return [`${focused.length} elements want the focus`];
  if (isRefused && first?.attributes.get("role") !== "alert") return ["a refused field without a summary"];
  if (isRefused && first?.attributes.get("tabindex") !== "-1") return ["a summary that takes no focus"];
  return [];
}

/** What only a script can do has to be unseen, or say so, where there is none. */
function faultsWithoutScript(elements: readonly Element[]): string[] {
  const tagged = (tag: string) => elements.filter((element) => element.tag === tag);
  const dead = tagged("button").filter(
    ({ attributes }) => attributes.get("type") === "button" && !attributes.has("hidden"),
  );
  const needing = tagged("form").filter(({ attributes }) => attributes.has("data-passkey"));
  const disabled = tagged("button").filter(({ attributes }) => attributes.has("disabled"));
  return [
    ...dead.map(({ text }) => `the button "${text}" does nothing without a script`),
    ...(disabled.length > needing.length ? ["a button is disabled for good"] : []),
    ...(tagged("noscript").length < needing.length ? ["a passkey form that does not say what it needs"] : []),
  ];
}

/** What browsers and password managers fill a field in with, by its name. */
const AUTOCOMPLETE: Readonly<Record<string, RegExp>> = {
  identifier: /^username webauthn$/,
  username: /^username$/,
  password: /^(?:current|new)-password$/,
  current: /^current-password$/,
  code: /^one-time-code$/,
  changeCode: /^one-time-code$/,
  email: /^email$/,
};

function faultsOfElement(
  { tag, attributes, text }: Element,
  { ids, labelled }: { ids: readonly string[]; labelled: ReadonlySet<string | undefined> },
): string[] {
  const faults: string[] = [];
  const name = `<${tag} ${attributes.get("name") ?? attributes.get("id") ?? attributes.get("class") ?? ""}>`;
  const isUnseen = attributes.get("type") === "hidden" || attributes.get("aria-hidden") === "true";
  const isInput = tag === "input" || tag === "select";
  if (isInput && !isUnseen && !labelled.has(attributes.get("id")) && !attributes.has("aria-label"))
    faults.push(`${name} without a label`);
  const filled = AUTOCOMPLETE[attributes.get("name") ?? ""];
  if (tag === "input" && attributes.get("type") !== "hidden" && filled) {
    const autocomplete = attributes.get("autocomplete") ?? "";
    if (!filled.test(autocomplete)) faults.push(`${name} with autocomplete="${autocomplete}"`);
  }
  if ((tag === "button" || tag === "a") && text.trim() === "" && !attributes.has("aria-label"))
    faults.push(`${name} without words`);
  if (tag === "img" && !attributes.has("alt")) faults.push(`${name} without alt`);
  if (tag === "a" && !attributes.has("href")) faults.push(`${name} leads nowhere`);
  if (tag === "form" && (attributes.get("method") !== "post" || !attributes.get("action")))
    faults.push(`${name} is not sent by POST`);
  const refs = ["for", "aria-describedby", "aria-labelledby", "aria-controls"].flatMap(
    (attribute) => attributes.get(attribute)?.split(" ") ?? [],
  );
  for (const id of refs) if (!ids.includes(id)) faults.push(`${name} speaks of #${id}, which is not there`);
  const target = tag === "a" ? attributes.get("href") : undefined;
  if (target?.startsWith("#") && !ids.includes(target.slice(1)))
    faults.push(`${name} leads to ${target}, which is not there`);
  for (const attribute of attributes.keys())
    if (attribute === "style" || attribute.startsWith("on"))
      faults.push(`${name} has ${attribute}, which the policy forbids`);
  return faults;
}
