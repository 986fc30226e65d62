/** Long work as an answer of lines of JSON: progress, then result or error. */
import { isKithError } from "../../errors.ts";

/** Progress is told so often at the most, and so often though there is none: a socket without traffic is closed. */
const TELL_MS = 200;
const STILL_MS = 3_000;
const LINES_TYPE = "application/jsonl";

/** The work goes on where nobody reads the lines any more. */
export function progressLines<Progress extends { readonly phase: string }>(
  run: (onProgress: (progress: Progress) => void) => Promise<object>,
  onDefect: (error: unknown) => void,
): Response {
  return new Response(linesOf(run, onDefect), { headers: { "Content-Type": LINES_TYPE } });
}

function linesOf<Progress extends { readonly phase: string }>(
  run: (onProgress: (progress: Progress) => void) => Promise<object>,
  onDefect: (error: unknown) => void,
): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setInterval> | undefined;
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      let isOpen = true;
      let saidMs = Number.NEGATIVE_INFINITY;
      let last: Progress | undefined;
      const say = (entry: object): void => {
        if (!isOpen) return;
        saidMs = performance.now();
        try {
          controller.enqueue(Buffer.from(`${JSON.stringify(entry)}\n`));
        } catch {
          isOpen = false;
        }
      };
      const end = (entry: object): void => {
        clearInterval(timer);
        say(entry);
        if (isOpen) controller.close();
        isOpen = false;
      };
      timer = setInterval(() => {
        if (performance.now() - saidMs >= STILL_MS) say({ type: "progress", ...last });
      }, STILL_MS);
      const onProgress = (progress: Progress): void => {
        const isNews = progress.phase !== last?.phase || performance.now() - saidMs >= TELL_MS;
        last = progress;
        if (isNews) say({ type: "progress", ...progress });
      };
      run(onProgress).then(
        (answer) => end({ type: "result", ...answer }),
        (error: unknown) => {
          if (!isKithError(error)) onDefect(error);
          const hint = isKithError(error) ? error.hint : "The log of the server has the details.";
          end({ type: "error", message: error instanceof Error ? error.message : String(error), hint });
        },
      );
    },
    cancel: () => clearInterval(timer),
  });
}
