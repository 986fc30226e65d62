import type { Texts } from "./texts.ts";

export const permissionsDe: Texts["permissions"] = {
  groups: {
    session: "Wer du bist",
    whole: "Dein ganzes Konto",
    sets: "Pakete",
    records: "Was du veröffentlichst",
    files: "Bilder und andere Dateien",
    services: "Andere Dienste, in deinem Namen",
    account: "Dein Konto hier",
    identity: "Deine Identität",
  },
  session: {
    title: "Sehen, wer du bist",
    detail: "Dein Handle und deine öffentliche Identität.",
  },
  generic: {
    title: "Fast alles in deinem Namen tun",
    detail:
      "Alles lesen, schreiben und löschen, was du veröffentlichst, Dateien hochladen und jeden Dienst als du benutzen. Ausgenommen sind private Nachrichten, das Passwort und die Einstellungen deines Kontos hier.",
  },
  email: {
    title: "Deine E-Mail-Adresse sehen",
    detail: "Und ob sie bestätigt ist.",
  },
  chat: {
    title: "Deine privaten Nachrichten lesen und welche schicken",
    detail: "Die von Bluesky.",
  },
  verbs: { create: "anlegen", update: "ändern", delete: "löschen" },
  repo: (verbs, things) => `${things.charAt(0).toUpperCase()}${things.slice(1)} ${verbs}`,
  everything: "alles, was du veröffentlichst, von jeder Art,",
  ofKinds: (count) => (count === 1 ? "Einträge einer Art" : `Einträge von ${count} Arten`),
  collections: {
    "app.bsky.feed.post": "deine Beiträge",
    "app.bsky.feed.like": "deine Likes",
    "app.bsky.feed.repost": "deine Reposts",
    "app.bsky.feed.generator": "Feeds, die du anbietest,",
    "app.bsky.feed.threadgate": "Regeln, wer dir antworten darf,",
    "app.bsky.feed.postgate": "Regeln, wer dich zitieren darf,",
    "app.bsky.graph.follow": "Follows",
    "app.bsky.graph.block": "Blockierungen",
    "app.bsky.graph.list": "deine Listen",
    "app.bsky.graph.listitem": "Einträge in deinen Listen",
    "app.bsky.graph.listblock": "Blockierungen ganzer Listen",
    "app.bsky.graph.starterpack": "deine Starterpakete",
    "app.bsky.actor.profile": "dein Profil",
    "app.bsky.actor.status": "deinen Status",
    "app.bsky.labeler.service": "einen Kennzeichnungsdienst von dir",
    "chat.bsky.actor.declaration": "Regeln, wer dir Nachrichten schicken darf,",
  },
  rpc: (methods, service) =>
    methods === 1
      ? `${service} in deinem Namen benutzen, für eine Sache`
      : `${service} in deinem Namen benutzen, für ${methods} Dinge`,
  rpcEverything: (service) => `${service} in deinem Namen benutzen, für alles`,
  rpcAnywhere: (methods) =>
    methods === 1
      ? "Jeden Dienst in deinem Namen benutzen, für eine Sache"
      : `Jeden Dienst in deinem Namen benutzen, für ${methods} Dinge`,
  methods: {
    "app.bsky.feed.getTimeline": "deine Timeline lesen",
    "app.bsky.actor.getPreferences": "deine Einstellungen sehen",
    "app.bsky.actor.putPreferences": "deine Einstellungen ändern",
    "app.bsky.actor.getProfile": "Profile ansehen",
    "app.bsky.feed.searchPosts": "Beiträge suchen",
    "app.bsky.notification.listNotifications": "deine Benachrichtigungen sehen",
    "app.bsky.notification.updateSeen": "deine Benachrichtigungen als gesehen markieren",
    "app.bsky.graph.muteActor": "Menschen stummschalten",
    "chat.bsky.convo.listConvos": "sehen, mit wem du private Nachrichten austauschst",
    "chat.bsky.convo.getLog": "deine privaten Nachrichten mitlesen",
    "chat.bsky.convo.getMessages": "deine privaten Nachrichten lesen",
    "chat.bsky.convo.sendMessage": "private Nachrichten schicken",
    "com.atproto.moderation.createReport": "Menschen und Beiträge melden",
  },
  at: (service) => `In deinem Namen, über ${service}.`,
  anywhere: "In deinem Namen, über jeden beliebigen Dienst.",
  blob: (kinds) => `${kinds.charAt(0).toUpperCase()}${kinds.slice(1)} hochladen`,
  files: {
    any: "Dateien jeder Art",
    image: "Bilder",
    video: "Videos",
    audio: "Tonaufnahmen",
    text: "Texte",
    other: (type) => `Dateien der Art ${type}`,
  },
  account: {
    email: {
      read: { title: "Deine E-Mail-Adresse sehen", detail: "Und ob sie bestätigt ist." },
      manage: { title: "Deine E-Mail-Adresse ändern", detail: "Und sie sehen." },
    },
    repo: {
      read: { title: "Sehen, wie deine Daten aufbewahrt sind", detail: "Zahlen zu deinem Konto hier." },
      manage: {
        title: "Alles ersetzen, was du veröffentlicht hast",
        detail: "Durch eine ganze Kopie von anderswo, wie es Apps für den Umzug tun.",
      },
    },
    status: {
      read: { title: "Sehen, ob dein Konto aktiv ist", detail: "" },
      manage: { title: "Dein Konto stilllegen und wieder aktivieren", detail: "" },
    },
  },
  identity: {
    handle: { title: "Dein Handle ändern", detail: "Den Namen, unter dem andere dich finden." },
    "*": {
      title: "Deine ganze Identität ändern",
      detail: "Handle, Schlüssel und auf welchem Server dein Konto zu Hause ist.",
    },
  },
  set: (nsid) => `Das Paket ${nsid}`,
  risks: {
    all: "Erlaube das nur einer App, der du alles anvertraust.",
    records: "Das reicht über alles, was du veröffentlicht hast.",
    name: "Wer dich unter dem alten Namen sucht, findet dich nicht mehr.",
    private: "Das ist privat. Erlaube es nur einer App, die es lesen soll.",
    takeover: "Wer das in der Hand hat, kann dir das Konto wegnehmen. Kaum eine App braucht es.",
    services: "Was die App dort tut, sieht aus, als hättest du es getan.",
  },
};
