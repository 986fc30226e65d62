import { expect, test } from "bun:test";
import type { Account, AccountState, OwnerStatus, Standing } from "../storage/mod.ts";
import { restoredStanding } from "./restored_standing.ts";

type Status = Standing["status"];

interface Row {
  readonly title: string;
  /** In the accounts store, known up to seq 50. */
  readonly accounts: AccountState;
  readonly file: Status;
  /** What the log told last, and when. */
  readonly told?: [seq: number, status: Status];
  readonly fileUpTo?: number;
  readonly is: Status;
  readonly isBlank?: boolean;
  readonly isDoubtful?: boolean;
}

const rows: readonly Row[] = [
  { title: "both say the same", accounts: "active", file: "active", is: "active" },
  {
    title: "the log took it down after the accounts store",
    ...{ accounts: "active", file: "active", told: [60, "takendown"], is: "takendown" },
  },
  {
    title: "the log lifted it after the accounts store",
    ...{ accounts: "takendown", file: "takendown", told: [60, "active"], is: "active" },
  },
  {
    title: "the file is newer than the accounts store",
    ...{ accounts: "active", file: "deactivated", fileUpTo: 70, is: "deactivated" },
  },
  {
    title: "the accounts store knows a takedown of which no event was shipped",
    ...{ accounts: "takendown", file: "active", is: "takendown", isDoubtful: true },
  },
  {
    title: "the accounts store lags behind a takedown in the file",
    ...{ accounts: "active", file: "takendown", is: "takendown", isDoubtful: true },
  },
  {
    title: "the accounts store lags behind the log by a moment",
    ...{ accounts: "active", file: "active", told: [50, "deactivated"], is: "deactivated", isDoubtful: true },
  },
  { title: "there was no file", accounts: "deactivated", file: "active", isBlank: true, is: "deactivated" },
  {
    title: "there was no file, and the log tells",
    ...{ accounts: "deactivated", file: "active", isBlank: true, told: [60, "active"], is: "active" },
  },
  { title: "it was being created", accounts: "creating", file: "active", is: "active" },
];

test.each([...rows])(
  "restoredStanding(): $title",
  ({ accounts, file, told, fileUpTo = 10, is, isBlank, isDoubtful }) => {
    const account = {
      state: accounts,
      takedownRef: accounts === "takendown" ? "case 7" : null,
      deactivatedAt: null,
    } as Account;
    const before: Standing = { status: file, ownerStatus: "active", takedownRef: null };
    const { standing, doubt } = restoredStanding({
      ...{ account, before, fileUpTo, accountsUpTo: 50 },
      told: told && { seq: told[0], status: told[1] },
      toldOwner: undefined,
      isBlank: isBlank === true,
    });
    expect([standing.status, doubt !== undefined]).toEqual([is, isDoubtful === true]);
    if (accounts === "takendown" && is === "takendown") expect(standing.takedownRef).toBe("case 7");
  },
);

interface OwnerRow {
  readonly title: string;
  /** Of the file, of the log, of the accounts store. */
  readonly file: OwnerStatus;
  readonly told?: [seq: number, status: OwnerStatus];
  readonly accounts: OwnerStatus;
  readonly fileUpTo?: number;
  readonly is: OwnerStatus;
}

const [OFF, ON] = ["deactivated", "active"] as const;
const ownerRows: readonly OwnerRow[] = [
  { title: "was deactivated before", file: OFF, accounts: OFF, is: OFF },
  { title: "was deactivated after the file", file: ON, accounts: OFF, is: OFF },
  { title: "was deactivated after the file, says the log", file: ON, told: [60, OFF], accounts: ON, is: OFF },
  { title: "was activated after the file, says the log", file: OFF, told: [45, ON], accounts: ON, is: ON },
  { title: "was activated after the accounts store", file: OFF, told: [60, ON], accounts: OFF, is: ON },
  { title: "has a newer file", file: ON, fileUpTo: 70, accounts: OFF, is: ON },
  { title: "was deactivated by nobody", file: ON, accounts: ON, is: ON },
];

for (const isTold of [true, false]) {
  test.each([...ownerRows])(
    `restoredStanding(): what is lifted of an account that $title, taken down ${isTold ? "after" : "before"} it`,
    ({ file, told, accounts, fileUpTo = 10, is }) => {
      const deactivatedAt = accounts === OFF ? 1 : null;
      const account = { state: "takendown", takedownRef: "case 7", deactivatedAt } as Account;
      const { standing, doubt } = restoredStanding({
        ...{ account, fileUpTo, accountsUpTo: 50, isBlank: false },
        before: { status: isTold ? file : "takendown", ownerStatus: file, takedownRef: null },
        told: isTold || told ? { seq: 80, status: "takendown" } : undefined,
        toldOwner: told && { seq: told[0], status: told[1] },
      });
      expect([standing, doubt]).toEqual([
        { status: "takendown", ownerStatus: is, takedownRef: "case 7" },
        undefined,
      ]);
    },
  );
}
