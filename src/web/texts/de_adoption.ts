import type { Texts } from "./texts.ts";

export const adoptionDe: Texts["adoption"] = {
  askTitle: {
    adopt: "Soll dieses Konto eine Gemeinschaft werden?",
    reauth: "Diesen Server wieder einlassen?",
  },
  asker: "Darum bittet",
  account: "Das Konto",
  server: "Sein Server",
  lead: {
    adopt: (asker, site) =>
      `${asker} bittet darum, dass dein Konto eine Gemeinschaft auf ${site} wird. Wenn du zustimmst:`,
    reauth: (asker, site) =>
      `${asker}, dem diese Gemeinschaft auf ${site} mit gehört, bittet dich, diesen Server wieder einzulassen. Wenn du zustimmst:`,
  },
  points: {
    adopt: (asker) => [
      `Die Gemeinschaft gehört ${asker}, und ${asker} entscheidet, wer sonst zu ihr gehört.`,
      "Wer dort veröffentlichen darf, kann als dieses Konto Einträge schreiben und löschen und Dateien hochladen.",
      "Niemand dort bekommt sein Passwort oder seine Identität: Du kannst das bei seinem Server jederzeit zurücknehmen.",
    ],
    reauth: () => [
      "Wer dort veröffentlichen darf, kann als dieses Konto wieder Einträge schreiben und löschen und Dateien hochladen.",
      "Niemand dort bekommt sein Passwort oder seine Identität: Du kannst das bei seinem Server jederzeit zurücknehmen.",
    ],
  },
  warning: "Stimme nur zu, wenn du weißt, wer darum bittet und wozu.",
  agree: "Zustimmen",
  refuse: "Nicht zustimmen",
  doneTitle: {
    adopt: "Das Konto ist jetzt eine Gemeinschaft",
    reauth: "Dieser Server ist wieder eingelassen",
  },
  done: {
    adopt: (asker) =>
      `Sie gehört ${asker}. Du kannst diese Seite schließen und dorthin zurückgehen, woher du gekommen bist.`,
    reauth: () =>
      "Ihre Mitglieder können veröffentlichen wie zuvor. Du kannst diese Seite schließen und dorthin zurückgehen, woher du gekommen bist.",
  },
  refusedTitle: "Es hat sich nichts geändert",
  refused:
    "Du hast nicht zugestimmt, deshalb wurde dieser Server nicht eingelassen. Du kannst diese Seite schließen.",
  failedTitle: "Das hat nicht geklappt, und es hat sich nichts geändert",
  failed: {
    gone: "Diese Zustimmung wurde schon verwendet, oder es hat länger als zehn Minuten gedauert. Lass dir dort, woher der Link kam, einen neuen geben.",
    denied:
      "Der Server des Kontos hat diesen Server nicht eingelassen. Lass dir dort, woher der Link kam, einen neuen geben, und versuche es noch einmal.",
    wrongAccount:
      "Die Zustimmung ist die eines anderen Kontos, oder sie erlaubt weniger, als Einträge zu schreiben und Dateien hochzuladen. Lass dir einen neuen Link geben und wähle bei seinem Server das richtige Konto.",
    already: "Das Konto ist hier schon eine Gemeinschaft. Wem sie gehört, kann dich einlassen.",
    quota:
      "Wer darum gebeten hat, hat hier schon so viele Gemeinschaften wie erlaubt. Es hilft, eine zu löschen oder die Betreiber dieses Servers zu fragen.",
    notAllowed:
      "Wer darum gebeten hat, darf das hier nicht mehr. Wem die Gemeinschaft gehört oder die Betreiber dieses Servers können es.",
    mixedUp:
      "Die Antwort passt nicht zu dem, worum gebeten wurde. Lass dir dort, woher der Link kam, einen neuen geben.",
    unreachable:
      "Der Server des Kontos hat nicht so geantwortet, wie er sollte. Lass dir dort, woher der Link kam, einen neuen geben, und versuche es in ein paar Minuten noch einmal.",
  },
};
