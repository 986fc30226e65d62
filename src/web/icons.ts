import { type Html, html } from "./html.ts";

/** The mark of kith: a k, of one who stands and two that are met. `styles.css` gives its colours. */
export const MARK: Html = html`<svg class="mark" viewBox="0 0 32 32" width="32" height="32" aria-hidden="true" focusable="false"><rect width="32" height="32" rx="9" fill="currentColor"/><path class="stroke" d="M10.5 7.5v17M10.5 17.5l9.6-7.3M14.8 14.4l5.6 7.7" fill="none" stroke-width="2.9" stroke-linecap="round"/><circle class="dot" cx="21.6" cy="9" r="2.9"/><circle class="dot" cx="21.6" cy="23.4" r="2.9"/></svg>`;

/** The same as a file, in colours of its own. */
export const MARK_FILE = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="9" fill="#1d6a54"/><path d="M10.5 7.5v17M10.5 17.5l9.6-7.3M14.8 14.4l5.6 7.7" fill="none" stroke="#fff" stroke-width="2.9" stroke-linecap="round"/><g fill="#fff"><circle cx="21.6" cy="9" r="2.9"/><circle cx="21.6" cy="23.4" r="2.9"/></g></svg>`;

const PATHS = {
  error: "M12 7.5v5.5M12 16.5v.01M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18Z",
  warning:
    "M12 9.5v4M12 17v.01M10.4 4.4 2.9 17.6A1.9 1.9 0 0 0 4.5 20.5h15a1.9 1.9 0 0 0 1.6-2.9L13.6 4.4a1.9 1.9 0 0 0-3.2 0Z",
  info: "M12 11.5v5M12 7.5v.01M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18Z",
  success: "m8 12.3 2.8 2.8L16.2 9.5M12 3a9 9 0 1 1 0 18 9 9 0 0 1 0-18Z",
  check: "m5 12.5 4.6 4.6L19.5 7",
  forward: "m9.5 5.5 6.5 6.5-6.5 6.5",
  back: "M14.5 5.5 8 12l6.5 6.5",
  out: "M14 4.5H6.5a2 2 0 0 0-2 2v11a2 2 0 0 0 2 2H14M17 8.5l3.5 3.5-3.5 3.5M20 12H10",
  key: "M14.5 12a5 5 0 1 1-10 0 5 5 0 0 1 10 0ZM14.5 12h7v4M18 12v3",
} as const;
export type IconName = keyof typeof PATHS;

/** A picture that says nothing which the words beside it do not say too. */
export function icon(name: IconName, { size = 20 }: { size?: number } = {}): Html {
  return html`<svg viewBox="0 0 24 24" width="${size}" height="${size}" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false"><path d="${PATHS[name]}"/></svg>`;
}
