import type { MailWords } from "./_mail_words.ts";

const IGNORE = "Wenn du das nicht angefordert hast, beachte diese Mail nicht: Es hat sich nichts geändert.";
const ALARM =
  "Wenn du das nicht angefordert hast, ist jemand anderes in deinem Konto angemeldet. Gib den Code niemandem und ändere dein Passwort.";
const LEAK =
  "Wenn du dich gerade nicht anmeldest, kennt jemand anderes dein Passwort. Gib den Code niemandem und ändere dein Passwort.";

export const de: MailWords = {
  hello: (handle) => `Hallo @${handle},`,
  validFor: (minutes) => `Er gilt ${minutes} Minuten lang.`,
  codes: {
    confirm_email: {
      subject: "Bestätige deine E-Mail-Adresse",
      use: "mit diesem Code bestätigst du, dass diese Adresse deine ist:",
      unasked: IGNORE,
    },
    update_email: {
      subject: "Änderung deiner E-Mail-Adresse",
      use: "mit diesem Code gibst du deinem Konto eine andere E-Mail-Adresse:",
      unasked: ALARM,
    },
    reset_password: {
      subject: "Neues Passwort setzen",
      use: "mit diesem Code setzt du ein neues Passwort:",
      warning: "Alle Sitzungen werden dabei abgemeldet.",
      unasked: IGNORE,
    },
    delete_account: {
      subject: "Löschung deines Kontos",
      use: "mit diesem Code löschst du dein Konto:",
      warning: "Alles, was in dem Konto ist, ist dann weg und lässt sich nicht zurückholen.",
      unasked: ALARM,
    },
    plc_operation: {
      subject: "Änderung deiner Identität",
      use: "mit diesem Code lässt du eine Änderung deiner Identität (eine PLC-Operation) unterschreiben:",
      warning:
        "Wer diesen Code hat, kann dein Konto auf einen anderen Server umziehen oder es dir wegnehmen. Gib ihn nur in ein Programm ein, das du selbst für den Umzug gestartet hast.",
      unasked: ALARM,
    },
    second_factor: {
      subject: "Dein Anmeldecode",
      use: "mit diesem Code meldest du dich in deinem Konto an:",
      warning: "Er gilt einmal. Niemand, der dir hilft, wird je danach fragen.",
      unasked: LEAK,
    },
  },
  notices: {
    password_changed: {
      subject: "Dein Passwort wurde geändert",
      what: () =>
        "das Passwort deines Kontos wurde geändert; alle Sitzungen, Geräte und Apps von vorher wurden abgemeldet.",
    },
    totp_added: {
      subject: "Authenticator-App eingerichtet",
      what: () =>
        "eine Authenticator-App wurde eingerichtet: Nach ihren Codes wird gefragt, wenn du dich anmeldest.",
    },
    totp_removed: {
      subject: "Authenticator-App entfernt",
      what: () => "die Authenticator-App deines Kontos wurde entfernt.",
    },
    backup_codes_renewed: {
      subject: "Neue Ersatzcodes",
      what: () => "für dein Konto wurden neue Ersatzcodes gemacht; ältere gelten nicht mehr.",
    },
    email_codes_on: {
      subject: "Codes per E-Mail eingeschaltet",
      what: () => "ab jetzt kommt ein Code an diese Adresse, wenn du dich anmeldest.",
    },
    email_codes_off: {
      subject: "Codes per E-Mail ausgeschaltet",
      what: () => "an diese Adresse kommen keine Codes mehr, wenn du dich anmeldest.",
    },
    passkey_required: {
      subject: "Passkey nötig",
      what: () =>
        "ab jetzt reicht das Passwort allein nicht mehr, um sich in deinem Konto anzumelden: Nach einem Passkey oder einem anderen zweiten Faktor wird gefragt.",
    },
    passkey_not_required: {
      subject: "Passkey nicht mehr nötig",
      what: () => "nach dem Passwort deines Kontos wird kein Passkey mehr verlangt.",
    },
    passkey_added: {
      subject: "Passkey hinzugefügt",
      what: (name) =>
        `der Passkey „${name}“ wurde hinzugefügt: Mit ihm kann man sich in deinem Konto anmelden.`,
    },
    passkey_removed: {
      subject: "Passkey entfernt",
      what: (name) => `der Passkey „${name}“ deines Kontos wurde entfernt.`,
    },
    app_password_added: {
      subject: "App-Passwort gemacht",
      what: (name) =>
        `das App-Passwort „${name}“ wurde gemacht: Eine App, die es hat, kann dein Konto benutzen.`,
    },
    handle_changed: {
      subject: "Dein Handle wurde geändert",
      what: (name) => `das Handle deines Kontos ist jetzt @${name}.`,
    },
    email_changed: {
      subject: "Deine E-Mail-Adresse wurde geändert",
      what: (name) =>
        `die E-Mail-Adresse deines Kontos wurde in ${name} geändert. An diese hier kommt nichts mehr, was das Konto angeht.`,
    },
  },
  wasYou: "Wenn du das warst, ist nichts zu tun.",
  wasNotYou: ({ accountUrl, operators }) =>
    `Wenn nicht, ist jemand anderes in deinem Konto: Setze auf ${accountUrl} ein neues Passwort, sieh dort nach, was unter Sicherheit, Geräte und Apps steht, und sag es ${operators}.`,
  operators: ({ host, contact }) =>
    contact === undefined ? `den Betreibern von ${host}` : `den Betreibern von ${host} (${contact})`,
  welcome: {
    subject: (host) => `Willkommen bei ${host}`,
    paragraphs: ({ handle, host }) => [
      `willkommen bei ${host}. Dein Konto ist bereit: Melde dich mit einer beliebigen AT-Protocol-App als ${handle} an.`,
      `Wenn eine App nach deinem Anbieter (Hosting-Provider) fragt: Es ist ${host}.`,
      "Mit dieser Adresse kannst du ein neues Passwort setzen; halte sie also aktuell.",
    ],
  },
};
