/**
 * First labels of handles that open sign-up does not give away: names of the protocol, of roles and of services that a
 * stranger would take for the server speaking, and of hosts that mail and browsers look for by themselves.
 */
const PROTOCOL = `
  at atp atproto appview bgs bluesky bsky blob blobs car cbor cid collection commit did didplc did-plc did-web
  feed feedgen firehose handle jetstream kith labeler labels lex lexicon lexicons mst nsid ozone pds pds-admin
  plc record records relay repo repos rkey sequencer skyline tid xrpc
`;

const ROLES = `
  abuse account accounts admin administration administrator admins anonymous author billing board bot bots ceo
  community contact contributor copyright cto customer customers dev developer developers devops dmca editor
  employee everyone feedback finance founder guest help helpdesk host hostmaster info information investor
  investors jobs legal list lists mailer mailer-daemon maintainer management manager marketing me member
  members mod moderation moderator moderators mods nobody news noreply no-reply office official operator
  operators owner owners payment payments people postmaster press privacy public register registration report
  reports root sales secure security service services signup somebody staff superuser support sysadmin system
  team tech test testing trust trust-and-safety user users verified verify visitor webmaster welcome you
`;

const HOSTS = `
  about acme admin-panel ads alpha analytics android announcements api api-docs apis app apple application apps
  archive archives assets atom auth authentication authorize autoconfig autodiscover backend backup backups
  beta blog blogs broadcasthost build cache calendar cdn chat checkout client clients cloud code config
  configuration connect console cookie cookies core cpanel create css dashboard data database db debug default
  delete demo deploy desktop dev-api developer-api dns doc docs documentation domain domains download downloads
  edge edit email error errors events example explore export faq faqs favicon fetch file files forum forums ftp
  gateway git google graph graphql grafana group groups guide guidelines health healthcheck home hosting html
  http https icon icons image images imap img import index internal invite invites invitation ios ipv4 ipv6 irc
  isatap issue issues javascript js json jwks key keys lab labs language latest learn library license licenses
  link links load localdomain localhost log login logout logs mail mailing map maps master media message
  messages metrics microsoft mirror mobile monitor monitoring mta-sts mx my mysql network new newsletter
  newsroom next nil none notification notifications ns ns1 ns2 ns3 ns4 ntp null oauth oauth2 oidc old online
  openid order orders origin page pages partner partners passkey passkeys password passwords photo photos ping
  plan plans plugin plugins policies policy pop pop3 portal postgres preview pricing private prod production
  profile profiles prometheus promo proxy purchase push query random redirect redis reference release releases
  remote reset resolver resource resources rss rules sandbox save schema script scripts sdk search secret
  secrets server servers session sessions settings setup sftp share shop signin sign-in sign-out signout
  sign-up site sitemap sites smtp socket source space spaces spec sql sqlite src ssh ssl sso stage staging
  start stat static stats status storage store stream style styles subdomain subscribe subscription svn sync
  tag tags task tasks temp template templates terms terms-of-service thumbs tls token tokens tool tools tos
  trace translate tunnel undefined unsubscribe update updates upgrade upload uploads uptime url usenet v1 v2
  vhost video videos vpn web webapp webdav webhook webhooks webmail website well-known wellknown wiki wildcard
  work worker workers wpad www www1 www2 xml xmpp yaml
`;

/** Every reserved first label, in lower case. */
export const RESERVED_NAMES: ReadonlySet<string> = new Set(
  [PROTOCOL, ROLES, HOSTS].flatMap((names) => names.trim().split(/\s+/)),
);
