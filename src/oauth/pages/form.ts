/** The forms of our own pages. */
import { collect, type Parameters, readBodyText } from "../parameters.ts";

const TYPE = "application/x-www-form-urlencoded";
/** A consent has one for each permission. */
const VALUES_MAX = 512;

/** What a form has sent. A field that is absent is "". */
export class Form {
  readonly #fields: Parameters;
  readonly #lists: ReadonlyMap<string, readonly string[]>;

  constructor(fields: Parameters = {}, lists: ReadonlyMap<string, readonly string[]> = new Map()) {
    this.#fields = fields;
    this.#lists = lists;
  }

  get(name: string): string {
    return this.#fields[name] ?? "";
  }

  /** All values of a field that may come several times. */
  list(name: string): readonly string[] {
    return this.#lists.get(name) ?? [];
  }
}

/**
 * Reads a form: url-encoded, of bounded size, each field once but for those in `lists`. Throws OAuthError invalid_request.
 */
export async function readForm(
  request: Request,
  { lists = [] }: { lists?: readonly string[] } = {},
): Promise<Form> {
  const entries = [...new URLSearchParams(await readBodyText(request, { types: [TYPE] }))];
  const single = entries.filter(([name]) => !lists.includes(name));
  const found = lists.map((list) => {
    const values = entries.flatMap(([name, value]) => (name === list ? value : []));
    return [list, values.slice(0, VALUES_MAX)] as const;
  });
  return new Form(collect(single), new Map(found));
}
