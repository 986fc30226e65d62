/** What the steps of a move work with. */
import type { DidDocument } from "../atproto/mod.ts";
import type { PlcDirectory } from "../identity/mod.ts";
import type { AccountAtHost } from "./account_at_host.ts";
import type { MoveFile } from "./move_file.ts";
import type { Asker, Reporter } from "./people.ts";

export interface Choices {
  readonly recoveryKey?: string;
  readonly dropKeys: readonly string[];
}

export interface StepContext {
  readonly file: MoveFile;
  readonly source: AccountAtHost;
  readonly target: AccountAtHost;
  readonly asker: Asker;
  readonly reporter: Reporter;
  readonly choices: Choices;
  readonly plc: Pick<PlcDirectory, "data" | "document" | "lastOperation">;
  readonly dids: { resolve(did: string, options: { fresh: boolean }): Promise<DidDocument> };
  readonly signInAtSource: () => Promise<unknown>;
  readonly signInAtTarget: () => Promise<unknown>;
}
