import type { Texts } from "./texts.ts";

const some = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

export const adminDe: Texts["admin"] = {
  title: "Verwaltung",
  nav: "Verwaltung",
  sections: { home: "Übersicht", accounts: "Konten" },
  accountsHint: "Wer hier ist, mit Zustand und Größe",
  signOut: "Abmelden",
  signIn: {
    title: "Als Betreiber anmelden",
    lead: "Mit dem Admin-Passwort dieses Servers: PDS_ADMIN_PASSWORD in seinen Einstellungen, oder in secrets.json seines Datenordners.",
    password: "Admin-Passwort",
    submit: "Anmelden",
    wrong: "Das ist nicht das Admin-Passwort.",
  },
  worst: {
    ok: "Alles ist in Ordnung.",
    warn: "Etwas sollte angesehen werden.",
    fail: "Etwas braucht dich jetzt.",
  },
  health: "Zustand",
  state: { ok: "in Ordnung", warn: "Warnung", fail: "Fehler" },
  since: (time) => `Seit ${time}`,
  checks: {
    disk: "Platte",
    events: "Ereignisprotokoll",
    backup: "Sicherung",
    shipping: "Übertragung des Ereignisprotokolls",
    drill: "Zuletzt als wiederherstellbar erwiesen",
    mail: "E-Mail",
    relays: "Relays",
  },
  reasons: {
    roomEnough: ({ free, size }) => `${free} von ${size} sind frei.`,
    roomLow: ({ free, size }) => `Nur ${free} von ${size} sind frei.`,
    roomOut: ({ free }) => `Nur ${free} sind frei: bald wird nichts mehr angenommen.`,
    roomUnknown: () => "Das System sagt nicht, wie viel frei ist.",
    eventsTaken: () => "Ereignisse werden angenommen und veröffentlicht.",
    eventsRefused: () =>
      "Die Platte nimmt keine Ereignisse an: nichts wird veröffentlicht, und bald wird nichts mehr angenommen.",
    backupNotSet: () => "Es wird nichts gesichert.",
    backupUnscheduled: ({ at }) => `Die neueste ist vom ${at}; geplant ist keine.`,
    backupFresh: ({ at }) => `Die neueste ist vom ${at}.`,
    backupFirst: () => "Die erste wird gerade gemacht.",
    backupNever: () => "Es gibt noch keine.",
    backupLate: ({ at }) => `Die neueste ist vom ${at}, älter als geplant.`,
    backupFailed: ({ at, problem }) =>
      `Der letzte Lauf ist gescheitert: ${problem}. ${at === "" ? "Es gibt keine Sicherung." : `Die neueste ist vom ${at}.`}`,
    backupIncomplete: ({ at, count }) =>
      `In der neuesten, vom ${at}, ${count === 1 ? "fehlt etwas oder ist" : `fehlen ${count} Dinge oder sind`} nicht so, wie es sein soll.`,
    shippingOff: () => "Zwischen den Sicherungen wird das Protokoll nicht übertragen.",
    shippingUpToDate: ({ span }) =>
      span === ""
        ? "Jedes Ereignis ist in der Sicherung."
        : `Alle Ereignisse bis vor ${span} sind in der Sicherung.`,
    shippingBehind: ({ span }) => `Das älteste Ereignis, das in der Sicherung fehlt, wartet schon ${span}.`,
    shippingFails: ({ span, problem }) =>
      `Zuletzt ist sie gescheitert: ${problem}.${span === "" ? "" : ` Das älteste wartende Ereignis ist ${span} alt.`}`,
    drillOff: ({ at }) =>
      at === "" ? "Es werden keine Proben gemacht." : `Erwiesen am ${at}; weitere Proben sind nicht geplant.`,
    drillNotYet: () => "Die erste Probe kommt nach der ersten Sicherung.",
    drillProven: ({ at }) => `Erwiesen am ${at}.`,
    drillLate: ({ at }) =>
      at === ""
        ? "Noch nie ist eine Sicherung als wiederherstellbar erwiesen worden."
        : `Erwiesen am ${at}, länger her als geplant.`,
    drillFailed: ({ at, problem }) =>
      `Die letzte Probe ist gescheitert: ${problem}. ${at === "" ? "Noch nie ist eine Sicherung als wiederherstellbar erwiesen worden." : `Zuletzt erwiesen am ${at}.`}`,
    mailSet: () => "E-Mail ist eingerichtet.",
    mailNotSet: () => "Kein Mailserver ist eingerichtet: Mitglieder bekommen keine Codes.",
    mailWaits: ({ count }) =>
      `${some(count, "Nachricht wartet", "Nachrichten warten")} nach mehreren Versuchen.`,
    relaysTold: ({ at, count }) => `${some(count, "Relay", "Relays")}, zuletzt benachrichtigt am ${at}.`,
    relaysNone: () => "Kein Relay wird benachrichtigt: das Netz erfährt nicht, was hier geschrieben wird.",
    relaysNotYet: ({ count }) =>
      `${some(count, "Relay wird", "Relays werden")} beim nächsten Ereignis benachrichtigt.`,
    relaysRefuse: ({ relay, problem }) => `${relay} hat nicht angenommen: ${problem}.`,
  },
  todo: {
    roomLow: "Vergrößere die Platte, oder verlege die Blobs in einen Bucket.",
    roomOut: "Schaffe jetzt Platz: vergrößere die Platte, oder entferne, was nicht zu diesem Server gehört.",
    eventsRefused: "Schaffe Platz auf der Platte des Datenordners; der Grund steht im Protokoll des Servers.",
    backupNotSet:
      "Setze KITH_BACKUP_DESTINATION und KITH_BACKUP_KEY_FILE; den Schlüssel macht kith backup new-key.",
    backupNever: "Mache eine: kith backup.",
    backupLate: "Das Protokoll des Servers sagt, warum; kith backup macht jetzt eine.",
    backupFailed: "Sieh nach, ob das Ziel erreichbar ist und Platz hat; kith backup macht jetzt eine.",
    backupIncomplete: "kith backup list nennt, was, und kith verify geht dem nach.",
    shippingBehind: "Sieh nach, ob das Ziel so schnell ist, wie Ereignisse kommen.",
    shippingFails: "Sieh nach, ob das Ziel erreichbar ist; bis dahin werden die Ereignisse aufgehoben.",
    drillLate: "Mache eine: kith backup drill.",
    drillFailed: "Verlass dich nicht auf die Sicherung: kith backup check --all sagt, was ihr fehlt.",
    mailNotSet: "Setze PDS_EMAIL_SMTP_URL und PDS_EMAIL_FROM_ADDRESS.",
    mailWaits: "Sieh nach, ob der Mailserver antwortet: kith mail test ADRESSE.",
    relaysNone: "Setze PDS_CRAWLERS.",
    relaysRefuse: "Sieh nach, was es auf kith request-crawl sagt.",
  },
  backups: {
    title: "Sicherungen",
    destination: "Ziel",
    none: "Keines ist gesetzt.",
    snapshot: "Letzte Sicherung",
    never: "nie",
    took: (span, size, written) => `${size} insgesamt, ${written} geschrieben, in ${span}`,
    failure: "Letzter Fehlschlag",
    shipped: "Zuletzt übertragen",
    upToDate: "jedes Ereignis ist dort",
    behind: "nicht jedes Ereignis ist dort",
    proven: "Zuletzt als wiederherstellbar erwiesen",
    drill: "Letzte Probe",
    drillFine: (span) => `nichts ginge verloren, festgestellt in ${span}`,
    runNow: "Jetzt sichern",
    running: "Eine Sicherung wird gerade gemacht.",
    drillNow: "Jetzt eine Probe machen",
    drilling: "Eine Probe läuft gerade.",
    hint: "Eine Probe stellt die neueste Sicherung in einem eigenen Ordner wieder her, prüft sie und entfernt sie wieder.",
    begun: "Die Sicherung hat begonnen.",
    drillBegun: "Die Probe hat begonnen.",
  },
  server: {
    title: "Server",
    version: "Version",
    address: "Adresse",
    started: "Gestartet",
    disk: "Platte des Datenordners",
    diskFree: (free, size) => `${free} von ${size} frei`,
    accounts: "Konten",
  },
  accounts: {
    title: "Konten",
    lead: "In der Reihenfolge, in der sie kamen. Ändern lassen sie sich mit „kith account“ auf dem Server.",
    empty: "Es gibt keine.",
    state: {
      active: "aktiv",
      deactivated: "deaktiviert",
      takendown: "gesperrt",
      suspended: "ausgesetzt",
      creating: "entsteht",
      deleting: "wird gelöscht",
    },
    joined: (day) => `seit ${day}`,
    sizes: (repo, blobs) => `Repo ${repo}, Blobs ${blobs}`,
    unknownSize: "Größe unbekannt",
    next: "Weiter",
    first: "Zurück zu den ersten",
  },
};
