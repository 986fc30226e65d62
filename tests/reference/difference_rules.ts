/** What the differences that docs/differences.md lists look like to `compareAnswers` and `compareEvents`. */

export interface Rule {
  /** Of the page's table. */
  readonly id: string;
  /** The methods, and where it is only some calls of them, the titles of those. */
  readonly to?: RegExp;
  readonly title?: RegExp;
  /** One line of what is different. */
  readonly line: RegExp;
}

const refused = (was: string): RegExp =>
  new RegExp(
    `^(?:status: ${was}|error: undefined → InvalidRequest|header content-type: "" → "application/json")$`,
  );
const served = /^(?:status: 400 → 200|error: \w+ → undefined|header content-type: "application\/json" → "")$/;
const noCommit = /^events: #commit → none$/;

const EVERYWHERE: readonly Rule[] = [
  {
    id: "request-id",
    line: /^error body: error: string, message: string → error: string, message: string, requestId: string$/,
  },
  { id: "www-authenticate", line: /^header www-authenticate: absent → there$/ },
  { id: "private-refusals", line: /^header (?:cache-control: "" → "private"|vary: "" → "authorization")$/ },
  { id: "json-errors", line: /^error: SyntaxError → InvalidRequest$/ },
  { id: "wrong-verb", line: /^status: 400 → 405$/ },
  { id: "repo-rev", to: /\.repo\./, line: /^header atproto-repo-rev: absent → there$/ },
  { id: "end-of-list", to: /\.list[A-Z]/, line: /^body\.cursor: string → absent$/ },
  { id: "body-where-none", title: /with \{\} as a body/, line: served },
  {
    id: "body-where-none",
    title: /with \{\} as a body/,
    line: /^events: none → #account active, #identity, #sync$/,
  },
  {
    id: "absent-body",
    title: /without a body/,
    to: /reserveSigningKey|deactivateAccount|signPlc|disableInviteCodes/,
    line: served,
  },
  {
    id: "absent-body",
    title: /without a body/,
    to: /deactivateAccount/,
    line: /^events: none → #account deactivated$/,
  },
  {
    id: "sandboxed-answers",
    line: /^header (?:content-security-policy: "" → "default-src 'none'; sandbox"|x-content-type-options: "" → "nosniff")$/,
  },
  {
    id: "unreadable-header",
    title: /by a header that is none/,
    line: /^(?:status: 401 → 400|error: AuthenticationRequired → InvalidToken)$/,
  },
  {
    id: "basic-for-a-session",
    title: /administrator/,
    line: /^(?:status: 401 → 400|error: AuthMissing → InvalidToken)$/,
  },
  {
    id: "nobody-for-the-admin",
    to: /createInviteCode|\.admin\./,
    title: /by nobody/,
    line: /^error: AuthenticationRequired → AuthMissing$/,
  },
];

const ACCOUNTS: readonly Rule[] = [
  {
    id: "second-factor-field",
    to: /createSession|getSession|refreshSession/,
    line: /^body\.emailAuthFactor: absent → boolean$/,
  },
  { id: "did-doc-at-sign-up", to: /createAccount/, line: /^body\.didDoc: object → absent$/ },
  {
    id: "names-of-errors",
    to: /createAccount|updateHandle|updateAccountHandle/,
    line: /^error: InvalidRequest → (?:HandleNotAvailable|InvalidHandle|InvalidPassword)$/,
  },
  {
    id: "header-at-sign-up",
    to: /createAccount/,
    line: /^(?:status: 401 → 400|error: (?:BadJwt|BadJwtType|AuthenticationRequired) → UnsupportedDomain)$/,
  },
  {
    id: "did-without-token",
    to: /createAccount/,
    title: /a DID with a token that is none/,
    line: /^error: BadJwt → AuthenticationRequired$/,
  },
  { id: "sign-up-password", to: /createAccount/, title: /no password/, line: refused("200 → 400") },
  {
    id: "sign-up-password",
    to: /createAccount/,
    title: /no password/,
    line: /^events: #identity, #account active, #commit, #sync → none$/,
  },
  { id: "app-password-names", to: /createAppPassword/, line: refused("200 → 400") },
  {
    id: "app-password-names",
    to: /createAppPassword/,
    line: /^(?:status: 500 → 400|error: InternalServerError → InvalidRequest)$/,
  },
  { id: "app-password-order", to: /listAppPasswords/, line: /^body\.passwords\[\]\./ },
  { id: "invite-uses", to: /createInviteCode/, line: refused("200 → 400") },
  { id: "no-enumeration", to: /requestPasswordReset/, title: /of nobody/, line: served },
  {
    id: "no-enumeration",
    to: /deleteAccount/,
    title: /of nobody/,
    line: /^(?:status: 400 → 401|error: InvalidRequest → AuthenticationRequired)$/,
  },
  {
    id: "reset-ends-sessions",
    to: /getSession/,
    title: /before the reset/,
    line: /^(?:status: 200 → 400|error: undefined → ExpiredToken)$/,
  },
];

const REPOS: readonly Rule[] = [
  {
    id: "named-refusals",
    to: /createRecord|applyWrites/,
    line: /^(?:status: 500 → 400|error: InternalServerError → InvalidRequest)$/,
  },
  { id: "bad-data", to: /createRecord/, title: /bad \$link|bad bytes/, line: refused("200 → 400") },
  { id: "bad-data", to: /createRecord/, title: /bad \$link|bad bytes/, line: noCommit },
  {
    id: "swap-before-all",
    to: /putRecord/,
    title: /swapRecord of null/,
    line: /^(?:status: 200 → 400|error: undefined → InvalidSwap)$/,
  },
  {
    id: "named-refusals",
    to: /uploadBlob/,
    title: /token that is none/,
    line: /^(?:status: 500 → 400|error: InternalServerError → InvalidToken)$/,
  },
  {
    id: "large-record",
    to: /createRecord/,
    title: /too large/,
    line: /^(?:status: 413 → 400|error: PayloadTooLargeError → InvalidRequest)$/,
  },
  {
    id: "swap-of-nothing",
    to: /deleteRecord/,
    title: /swapRecord/,
    line: /^(?:status: 200 → 400|error: undefined → InvalidSwap|header content-type.*)$/,
  },
  { id: "empty-batch", to: /applyWrites/, line: /^body\.commit: object → absent$/ },
  { id: "empty-batch", to: /applyWrites/, title: /^none$/, line: noCommit },
  {
    id: "path-once",
    to: /applyWrites/,
    title: /one path twice|a create and its delete/,
    line: refused("200 → 400"),
  },
  { id: "path-once", to: /applyWrites/, title: /one path twice|a create and its delete/, line: noCommit },
  { id: "upload-type", to: /uploadBlob/, title: /bytes without a type|with \{\} as a body/, line: served },
  {
    id: "blob-facts",
    to: /createRecord/,
    title: /mime type|another size/,
    line: /^(?:status: 200 → 400|error: undefined → Invalid(?:MimeType|Size))$/,
  },
  {
    id: "upload-type",
    to: /uploadBlob|getBlob/,
    title: /goat|blob upload|blob export|8 new/,
    line: /^(?:body\.blob\.mimeType|header content-type): "\*\/\*" → "application\/octet-stream"$/,
  },
  { id: "blob-facts", to: /createRecord/, title: /mime type|another size/, line: noCommit },
  { id: "blob-not-found", to: /getBlob$/, line: /^error: InvalidRequest → BlobNotFound$/ },
  {
    id: "blob-not-found",
    to: /createRecord/,
    title: /a blob of CBOR/,
    line: /^error: InvalidRequest → BlobNotFound$/,
  },
  { id: "block-not-found", to: /getBlocks/, line: /^error: InvalidRequest → BlockNotFound$/ },
  { id: "handles-in-capitals", to: /getRecord/, title: /capitals/, line: /^body\./ },
  {
    id: "inactive-records",
    to: /repo\.getRecord/,
    title: /deactivated/,
    line: /^(?:status: 200 → 400|error: undefined → RecordNotFound)$/,
  },
  { id: "head-not-found", to: /getHead/, line: /^error: RepoNotFound → HeadNotFound$/ },
  { id: "root-of-nothing-new", to: /getRepo/, title: /since the head/, line: /^blocks: 0 → 1$/ },
  {
    id: "firehose-over-http",
    to: /subscribeRepos/,
    line: /^(?:status: 401 → (?:426|405)|error: AuthMissing → (?:UpgradeRequired|InvalidRequest)|header (?:cache-control: "private" → ""|vary: "authorization" → ""))$/,
  },
];

const SERVICES: readonly Rule[] = [
  {
    id: "identity-with-handle",
    to: /submitPlcOperation/,
    line: /^event #identity\.handle: absent → string$/,
  },
  {
    id: "deleted-accounts",
    to: /getSession/,
    title: /deleted/,
    line: /^(?:status: 400 → 403|error: InvalidRequest → AccountNotFound)$/,
  },
  {
    id: "deleted-accounts",
    to: /getRepoStatus/,
    title: /deleted/,
    line: /^(?:status: 400 → 200|error: RepoNotFound → undefined)$/,
  },
  {
    id: "served-here",
    to: /resolveDid|resolveIdentity/,
    line: /^(?:status: 401 → (?:200|400)|error: AuthMissing → (?:undefined|DidNotFound)|header (?:cache-control: "private" → ""|vary: "authorization" → ""))$/,
  },
  {
    id: "identity-by-an-app",
    to: /submitPlcOperation/,
    title: /by an app/,
    line: /^error: InvalidRequest → InvalidToken$/,
  },
  {
    id: "no-nsid",
    to: /^not-an-nsid$/,
    line: /^(?:status: 200 → 400|error: undefined → InvalidRequest|header .*)$/,
  },
  {
    id: "named-refusals",
    to: /getConfig/,
    title: /no DID/,
    line: /^(?:status: 500 → 400|error: InternalServerError → InvalidRequest)$/,
  },
  { id: "own-words", to: /^\/(?:robots|xrpc\/_health)/, line: /^body/ },
  {
    id: "unknown-path",
    to: /^\/nothing/,
    line: /^(?:error: undefined → NotFound|header .*|error body: .*)$/,
  },
  { id: "service-document", to: /did\.json/, line: /^(?:status: 404 → 200|header .*)$/ },
  {
    id: "plain-text",
    to: /atproto-did/,
    line: /^header content-type: "text\/html; charset=utf-8" → "text\/plain; charset=utf-8"$/,
  },
];

const OPERATORS: readonly Rule[] = [
  { id: "end-of-list", to: /getInviteCodes/, line: /^body\.cursor: string → absent$/ },
  {
    id: "order-of-lists",
    to: /getAccountInviteCodes|getAccountInfos?|getInviteCodes/,
    line: /^body\.(?:codes|infos|invites)\[\]/,
  },
  { id: "invite-note", to: /getAccountInfo$/, line: /^body\.inviteNote: absent → string$/ },
  {
    id: "nobody-to-change",
    to: /disableAccountInvites|updateAccountPassword|admin\.deleteAccount|updateSubjectStatus/,
    title: /of nobody|of gina's twin|not there/,
    line: /^(?:status: 200 → 400|error: undefined → NotFound|header content-type: "" → "application\/json"|events: #account deleted → none)$/,
  },
  {
    id: "named-refusals",
    to: /updateAccountEmail/,
    title: /taken/,
    line: /^(?:status: 500 → 400|error: InternalServerError → InvalidRequest)$/,
  },
  { id: "address-that-is-none", to: /updateAccountEmail/, title: /to none/, line: refused("200 → 400") },
  { id: "session-for-the-moderator", to: /\.admin\./, line: /^error: BadJwtType → BadJwt$/ },
  {
    id: "takedown-ends-sessions",
    title: /by dan, taken down/,
    line: /^(?:status: (?:200|400) → 40[01]|error: (?:undefined|InvalidRequest) → (?:AccountTakedown|ExpiredToken)|header content-type: "application\/vnd\.ipld\.car" → "application\/json")$/,
  },
  {
    id: "narrow-sessions",
    to: /getServiceAuth|getLatestCommit/,
    title: /narrow session/,
    line: /^(?:status: 400 → 200|error: Invalid(?:Request|Token) → undefined)$/,
  },
  {
    id: "inactive-records",
    to: /repo\.getRecord/,
    title: /taken down|narrow session/,
    line: /^(?:status: 200 → 400|error: undefined → RecordNotFound)$/,
  },
  {
    id: "up-again",
    to: /updateSubjectStatus/,
    title: /up again|--reverse|untakedown/,
    line: /^events: #account active → #account active, #identity, #sync$/,
  },
];

export const RULES: readonly Rule[] = [...EVERYWHERE, ...ACCOUNTS, ...REPOS, ...SERVICES, ...OPERATORS];
