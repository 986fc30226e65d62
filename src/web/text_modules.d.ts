/** Files that are embedded as text. */
declare module "*.css" {
  const text: string;
  export = text;
}
declare module "*/page.js" {
  const text: string;
  export = text;
}
declare module "*/community_key.js" {
  const text: string;
  export = text;
}
