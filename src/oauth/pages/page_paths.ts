/** Paths that are pages: what lies below them and is no route is a page that says so. */
const OWN =
  /^\/(?:oauth\/authorize|oauth\/communities\/callback|account|admin)(?:\/|$)|^\/\.well-known\/change-password$/;

/** Whether a path is a page's: no other origin may read what it answers. */
export function isPagePath(path: string): boolean {
  return OWN.test(path);
}
