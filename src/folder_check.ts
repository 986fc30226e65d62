/** How `verify` looks over a data folder that a restore, a drill or a takeover has put together. */
import { CHECK_FINDINGS_MAX, type FolderCheck, type FolderCheckReport } from "./backup/folder_check.ts";
import {
  type Finding,
  isHarm,
  isMendable,
  isProblem,
  kindOf,
  type VerifyReport,
  verifyFolder,
} from "./verify/mod.ts";

export interface FolderCheckOptions {
  /** Where the blobs are files: their folder, given the data folder that was put together. */
  readonly blobFolder?: ((dataFolder: string) => string) | undefined;
  /** False: blobs are looked for, in their size. */
  readonly readsBlobs?: boolean;
}

/** Nobody outside is asked: whoever puts a folder together asks for the DID documents itself. */
export function folderCheck({ blobFolder, readsBlobs = true }: FolderCheckOptions = {}): FolderCheck {
  return async ({ folder, blobs, now, signal, onProgress }) => {
    const report = await verifyFolder({
      ...{ folder, blobs, now, signal, readsBlobs },
      blobFolder: blobFolder?.(folder.path),
      onProgress: ({ phase, done, total }) => {
        if (phase === "accounts") onProgress(done, total);
      },
    });
    return told(report);
  };
}

function told({ findings, problems, harms, ...totals }: VerifyReport): FolderCheckReport {
  const { accounts, repos, records, blobs, events } = totals;
  const wrong = findings.filter(isProblem);
  const ordered = [...wrong.filter(isHarm), ...wrong.filter((finding) => !isHarm(finding))];
  return {
    findings: ordered.slice(0, CHECK_FINDINGS_MAX).map(findingOf),
    mendable: wrong.filter((finding) => isHarm(finding) && isMendable(finding)).length,
    ...{ problems, harms, accounts, repos, records, blobs, events },
  };
}

function findingOf(finding: Finding): FolderCheckReport["findings"][number] {
  const { code, did, handle, file, detail } = finding;
  const { means, mends, advice } = kindOf(finding);
  return {
    ...{ code, detail, means, isHarm: isHarm(finding) },
    ...(did === undefined ? {} : { did }),
    ...(handle === undefined ? {} : { handle }),
    ...(file === undefined ? {} : { file }),
    ...(mends === undefined ? {} : { mends }),
    ...(advice === undefined ? {} : { advice }),
  };
}
