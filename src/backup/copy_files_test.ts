import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { DataFolderFixture } from "./_data_folder_fixture.ts";
import { FileCopier } from "./copy_files.ts";
import { FileTableWriter, PreviousFiles } from "./file_table.ts";
import { ObjectWriter } from "./object_writer.ts";

const ALICE = "did:plc:alice";

test.each([
  ["deleting", 0],
  ["active", 1],
] as const)(
  "the file of an account that is %s, and goes while it is copied, is a problem %i times",
  async (state, count) => {
    using fixture = await new DataFolderFixture().make();
    fixture.account(ALICE);
    const path = fixture.repoPath(ALICE);
    const repository = await fixture.create();
    const writer = await ObjectWriter.open(repository);
    const problems: string[] = [];
    const copier = new FileCopier({
      source: fixture.source,
      ...{ writer, table: new FileTableWriter(writer), previousName: undefined },
      previous: new PreviousFiles(repository, undefined),
      // Asked for the time between the look whether the file is there and its copy.
      now: () => {
        rmSync(path);
        return Date.now();
      },
      onProblem: (problem) => problems.push(problem),
    });
    const head = { path: "repos/of-alice", kind: "repo" as const, did: ALICE, generation: 1 };
    await copier.repoFile(head, state);
    await copier.end();
    expect(problems.length).toBe(count);
  },
);
