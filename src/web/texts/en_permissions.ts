/** What apps may be allowed, in words. */
export const permissionsEn = {
  groups: {
    session: "Who you are",
    whole: "Your whole account",
    sets: "Bundles",
    records: "What you publish",
    files: "Pictures and other files",
    services: "Other services, in your name",
    account: "Your account here",
    identity: "Your identity",
  },
  session: {
    title: "See who you are",
    detail: "Your handle and your public identity.",
  },
  generic: {
    title: "Do nearly everything in your name",
    detail:
      "Read, write and delete all that you publish, upload files, and use every service as you. Private messages, the password and the settings of your account here are left out.",
  },
  email: {
    title: "See your e-mail address",
    detail: "And whether it is confirmed.",
  },
  chat: {
    title: "Read and send your private messages",
    detail: "Those of Bluesky.",
  },
  verbs: { create: "create", update: "change", delete: "delete" },
  repo: (verbs: string, things: string) => sentence(`${verbs} ${things}`),
  everything: "anything that you publish, of every kind",
  ofKinds: (count: number) => (count === 1 ? "records of one kind" : `records of ${count} kinds`),
  /** The most common kinds, after "create, change and delete ...". */
  collections: {
    "app.bsky.feed.post": "your posts",
    "app.bsky.feed.like": "your likes",
    "app.bsky.feed.repost": "your reposts",
    "app.bsky.feed.generator": "feeds that you offer",
    "app.bsky.feed.threadgate": "your rules on who may reply to you",
    "app.bsky.feed.postgate": "your rules on who may quote you",
    "app.bsky.graph.follow": "your follows",
    "app.bsky.graph.block": "your blocks",
    "app.bsky.graph.list": "your lists",
    "app.bsky.graph.listitem": "the people on your lists",
    "app.bsky.graph.listblock": "your blocks of whole lists",
    "app.bsky.graph.starterpack": "your starter packs",
    "app.bsky.actor.profile": "your profile",
    "app.bsky.actor.status": "your status",
    "app.bsky.labeler.service": "a labelling service of yours",
    "chat.bsky.actor.declaration": "your rules on who may send you messages",
  },
  rpc: (methods: number, service: string) =>
    methods === 1
      ? `Use ${service} in your name, for one thing`
      : `Use ${service} in your name, for ${methods} things`,
  rpcEverything: (service: string) => `Use ${service} in your name, for everything`,
  rpcAnywhere: (methods: number) =>
    methods === 1
      ? "Use any service in your name, for one thing"
      : `Use any service in your name, for ${methods} things`,
  /** The most common methods of services. */
  methods: {
    "app.bsky.feed.getTimeline": "read your timeline",
    "app.bsky.actor.getPreferences": "see your settings",
    "app.bsky.actor.putPreferences": "change your settings",
    "app.bsky.actor.getProfile": "look at profiles",
    "app.bsky.feed.searchPosts": "search posts",
    "app.bsky.notification.listNotifications": "see your notifications",
    "app.bsky.notification.updateSeen": "mark your notifications as seen",
    "app.bsky.graph.muteActor": "mute people",
    "chat.bsky.convo.listConvos": "see with whom you exchange private messages",
    "chat.bsky.convo.getLog": "follow your private messages",
    "chat.bsky.convo.getMessages": "read your private messages",
    "chat.bsky.convo.sendMessage": "send private messages",
    "com.atproto.moderation.createReport": "report people and posts",
  },
  at: (service: string) => `In your name, by way of ${service}.`,
  anywhere: "In your name, by way of any service.",
  blob: (kinds: string) => `Upload ${kinds}`,
  files: {
    any: "files of any kind",
    image: "pictures",
    video: "videos",
    audio: "sound",
    text: "texts",
    other: (type: string) => `files of the kind ${type}`,
  },
  account: {
    email: {
      read: { title: "See your e-mail address", detail: "And whether it is confirmed." },
      manage: { title: "Change your e-mail address", detail: "And see it." },
    },
    repo: {
      read: { title: "See how your data is kept", detail: "Numbers about your account here." },
      manage: {
        title: "Replace everything that you have published",
        detail: "By bringing in a whole copy from elsewhere, as apps for moving do.",
      },
    },
    status: {
      read: { title: "See whether your account is active", detail: "" },
      manage: { title: "Deactivate and reactivate your account", detail: "" },
    },
  },
  identity: {
    handle: { title: "Change your handle", detail: "The name by which others find you." },
    "*": {
      title: "Change your whole identity",
      detail: "Handle, keys, and which server your account lives on.",
    },
  },
  set: (nsid: string) => `The bundle ${nsid}`,
  risks: {
    all: "Allow this only to an app that you trust with everything.",
    records: "This reaches everything that you have published.",
    name: "Whoever looks for you under the old name does not find you any more.",
    private: "These are private. Allow it only to an app that you want to read them.",
    takeover: "Who controls this can take the account from you. Hardly any app needs it.",
    services: "What the app does there looks as if you had done it.",
  },
};

/** With a capital at its start. */
function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
