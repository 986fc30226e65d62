/** The operator's pages. */

/** What the words of a check are filled with, each in the reader's language. */
export interface CheckWords {
  readonly free: string;
  readonly size: string;
  /** A time; "" where there is none. */
  readonly at: string;
  /** "" for none. */
  readonly span: string;
  readonly count: number;
  readonly problem: string;
  readonly relay: string;
}

type Words = (words: CheckWords) => string;

const some = (count: number, one: string, many: string): string => `${count} ${count === 1 ? one : many}`;

export const adminEn = {
  title: "Administration",
  nav: "Administration",
  sections: { home: "Overview", accounts: "Accounts" },
  accountsHint: "Who is here, their status and size",
  signOut: "Sign out",
  signIn: {
    title: "Sign in as the operator",
    lead: "With the admin password of this server: PDS_ADMIN_PASSWORD in its settings, or in secrets.json of its data folder.",
    password: "Admin password",
    submit: "Sign in",
    wrong: "This is not the admin password.",
  },
  worst: {
    ok: "All is well.",
    warn: "Something should be looked at.",
    fail: "Something needs you now.",
  },
  health: "Health",
  state: { ok: "ok", warn: "warning", fail: "fails" },
  since: (time: string) => `Since ${time}`,
  checks: {
    disk: "Disk",
    events: "Event log",
    backup: "Backup",
    shipping: "Shipping of the event log",
    drill: "Last proven restorable",
    mail: "Mail",
    relays: "Relays",
  },
  reasons: {
    roomEnough: ({ free, size }) => `${free} of ${size} are free.`,
    roomLow: ({ free, size }) => `Only ${free} of ${size} are free.`,
    roomOut: ({ free }) => `Only ${free} are free: writes will soon be refused.`,
    roomUnknown: () => "The system does not tell how much is free.",
    eventsTaken: () => "Events are taken and published.",
    eventsRefused: () => "The disk refuses events: nothing is published, and writes will be refused.",
    backupNotSet: () => "No backups are made.",
    backupUnscheduled: ({ at }) => `The newest is of ${at}; none is scheduled.`,
    backupFresh: ({ at }) => `The newest is of ${at}.`,
    backupFirst: () => "The first one is being taken.",
    backupNever: () => "There is none yet.",
    backupLate: ({ at }) => `The newest is of ${at}, older than its schedule.`,
    backupFailed: ({ at, problem }) =>
      `The last run failed: ${problem}. ${at === "" ? "There is no backup." : `The newest is of ${at}.`}`,
    backupIncomplete: ({ at, count }) =>
      `The newest, of ${at}, could not copy ${some(count, "thing", "things")} as it should be.`,
    shippingOff: () => "Between snapshots the event log is not shipped.",
    shippingUpToDate: ({ span }) =>
      span === "" ? "The backup has every event." : `The backup has all but the events of the last ${span}.`,
    shippingBehind: ({ span }) => `The oldest event that the backup has not got has waited for ${span}.`,
    shippingFails: ({ span, problem }) =>
      `It failed the last time: ${problem}.${span === "" ? "" : ` The oldest waiting event is ${span} old.`}`,
    drillOff: ({ at }) =>
      at === "" ? "No drills are made." : `Proven on ${at}; no further drills are scheduled.`,
    drillNotYet: () => "The first drill comes after the first backup.",
    drillProven: ({ at }) => `Proven on ${at}.`,
    drillLate: ({ at }) =>
      at === "" ? "No backup was ever proven restorable." : `Proven on ${at}, longer ago than scheduled.`,
    drillFailed: ({ at, problem }) =>
      `The last drill failed: ${problem}. ${at === "" ? "No backup was ever proven restorable." : `Proven last on ${at}.`}`,
    mailSet: () => "Mail is set up.",
    mailNotSet: () => "No mail server is set: members get no codes.",
    mailWaits: ({ count }) => `${some(count, "message waits", "messages wait")} after several tries.`,
    relaysTold: ({ at, count }) => `${some(count, "relay", "relays")} told last on ${at}.`,
    relaysNone: () => "No relay is told: the network does not hear of what is written here.",
    relaysNotYet: ({ count }) => `${some(count, "relay is", "relays are")} told with the next event.`,
    relaysRefuse: ({ relay, problem }) => `${relay} did not accept: ${problem}.`,
  } satisfies Record<string, Words>,
  /** What to do about it. */
  todo: {
    roomLow: "Make the disk larger, or move blobs into a bucket.",
    roomOut: "Make room now: enlarge the disk, or remove what is not of this server.",
    eventsRefused: "Make room on the disk of the data folder; the log of the server has the reason.",
    backupNotSet: "Set KITH_BACKUP_DESTINATION and KITH_BACKUP_KEY_FILE; kith backup new-key makes the key.",
    backupNever: "Take one: kith backup.",
    backupLate: "The log of the server says why; kith backup takes one now.",
    backupFailed: "See that the destination can be reached and has room; kith backup takes one now.",
    backupIncomplete: "kith backup list names what, and kith verify looks into it.",
    shippingBehind: "See that the destination answers as fast as events come.",
    shippingFails: "See that the destination can be reached; events are kept until it is.",
    drillLate: "Run one: kith backup drill.",
    drillFailed: "Do not rely on the backup: kith backup check --all says what is wrong with it.",
    mailNotSet: "Set PDS_EMAIL_SMTP_URL and PDS_EMAIL_FROM_ADDRESS.",
    mailWaits: "See that the mail server answers: kith mail test ADDRESS.",
    relaysNone: "Set PDS_CRAWLERS.",
    relaysRefuse: "See what it says to kith request-crawl.",
  },
  backups: {
    title: "Backups",
    destination: "Destination",
    none: "None is set.",
    snapshot: "Last snapshot",
    never: "never",
    took: (span: string, size: string, written: string) => `${size} in all, ${written} written, in ${span}`,
    failure: "Last failure",
    shipped: "Last shipped",
    upToDate: "every event is there",
    behind: "not every event is there",
    proven: "Last proven restorable",
    drill: "Last drill",
    drillFine: (span: string) => `nothing would be lost, found in ${span}`,
    runNow: "Back up now",
    running: "A snapshot is being taken.",
    drillNow: "Run a drill now",
    drilling: "A drill is under way.",
    hint: "A drill restores the newest backup into a folder of its own, verifies it, and removes it.",
    begun: "The snapshot has begun.",
    drillBegun: "The drill has begun.",
  },
  server: {
    title: "Server",
    version: "Version",
    address: "Address",
    started: "Started",
    disk: "Disk of the data folder",
    diskFree: (free: string, size: string) => `${free} of ${size} free`,
    accounts: "Accounts",
  },
  accounts: {
    title: "Accounts",
    lead: "In the order in which they came. To change one, type “kith account” on the server.",
    empty: "There are none.",
    state: {
      active: "active",
      deactivated: "deactivated",
      takendown: "taken down",
      suspended: "suspended",
      creating: "being created",
      deleting: "being deleted",
    },
    joined: (day: string) => `since ${day}`,
    sizes: (repo: string, blobs: string) => `repo ${repo}, blobs ${blobs}`,
    unknownSize: "size unknown",
    next: "Next",
    first: "Back to the first",
  },
};
