/** The records: the repo goes through a file, so that a broken import does not fetch it again, and never through memory. */

import { once } from "node:events";
import { createWriteStream, existsSync, renameSync, rmSync, statSync } from "node:fs";
import { finished } from "node:stream/promises";
import { KithError } from "../errors.ts";
import { isHostError } from "../identity/mod.ts";
import type { Turn } from "./move_machine.ts";
import type { StepContext } from "./step_context.ts";

const OWNER_ONLY = 0o600;

export async function copyRepo(context: StepContext): Promise<Turn> {
  const { file, source, target, reporter } = context;
  const { repoRev: rev } = await source.figures();
  const { repo } = file.move;
  if (repo?.rev === rev && repo.imported) return "on";
  if (repo?.rev !== rev || !isWhole(file.carPath, repo.bytes)) await fetchRepo(rev, context);
  const { bytes = 0 } = file.move.repo ?? {};
  try {
    await target.importRepo(async () => ({
      type: "application/vnd.ipld.car",
      bytes,
      body: counted(Bun.file(file.carPath).stream(), (done) =>
        reporter.progress({ what: "repo", done, total: bytes, bytes: done }),
      ),
    }));
  } catch (error) {
    // What the target cannot read may have been cut off on its way here.
    if (isHostError(error, "InvalidRequest")) rmSync(file.carPath, { force: true });
    throw explain(error, bytes);
  }
  file.patch({ repo: { rev, bytes, imported: true } });
  reporter.note(`brought the records over (${(bytes / 1e6).toFixed(1)} MB)`);
  rmSync(file.carPath, { force: true });
  return "on";
}

async function fetchRepo(rev: string, { file, source, reporter }: StepContext): Promise<void> {
  const part = `${file.carPath}.part`;
  rmSync(part, { force: true });
  rmSync(file.carPath, { force: true });
  const stream = await source.repo(file.move.did);
  const out = createWriteStream(part, { flags: "wx", mode: OWNER_ONLY });
  const isWritten = finished(out);
  let bytes = 0;
  try {
    for await (const chunk of stream) {
      bytes += chunk.byteLength;
      if (!out.write(chunk)) await Promise.race([once(out, "drain"), isWritten]);
      reporter.progress({ what: "repo", done: bytes, bytes });
    }
    out.end();
    await isWritten;
  } catch (error) {
    out.destroy();
    isWritten.catch(() => undefined);
    throw error;
  }
  renameSync(part, file.carPath);
  file.patch({ repo: { rev, bytes, imported: false } });
}

function isWhole(path: string, bytes: number): boolean {
  return existsSync(path) && statSync(path).size === bytes;
}

function counted(
  stream: ReadableStream<Uint8Array>,
  tell: (bytes: number) => void,
): ReadableStream<Uint8Array> {
  let bytes = 0;
  return stream.pipeThrough(
    new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        bytes += chunk.byteLength;
        tell(bytes);
        controller.enqueue(chunk);
      },
    }),
  );
}

function explain(error: unknown, bytes: number): unknown {
  if (!isHostError(error)) return error;
  if (/sign/i.test(error.reason))
    return new KithError("upstream_failure", error.message, {
      hint: "The old server may not have signed the repo since the account came to it: write a post there, and run the same command again.",
      cause: error,
    });
  if (error.status !== 413 && error.error !== "PayloadTooLarge") return error;
  return new KithError("payload_too_large", `"${error.host}" takes no repo of ${bytes} bytes`, {
    hint: "Its operator can allow more (a kith and the reference: PDS_MAX_REPO_IMPORT_SIZE). Then run the same command again.",
    cause: error,
  });
}
