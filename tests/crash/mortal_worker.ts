/**
 * Runs in a worker before the worker's own code. The file of KITH_TEST_WORKER_DEATH may order its death in words: which worker, the number
 * of the message, counted from the order on, and how: "throw" or "exit" as the message comes, "mute" once it has done what it was
 * told, in place of the reply.
 */
import { appendFileSync, readFileSync } from "node:fs";

declare const self: Worker & { addEventListener(type: "message", listener: () => void): void };

const { KITH_TEST_WORKER_DEATH: file = "", KITH_TEST_WORKER: name } = process.env;
let known = "";
let taken = 0;
let answered = 0;

/** How it dies, where the order is for this worker and this number. */
function deathAt(kind: "take" | "answer"): string | undefined {
  let order = "";
  try {
    order = readFileSync(file, "utf8");
  } catch {
    // Nothing is ordered.
  }
  if (order !== known) [known, taken, answered] = [order, 0, 0];
  const number = kind === "take" ? ++taken : ++answered;
  const [whose, at, how = ""] = order.split(" ");
  if (whose !== name || Number(at) !== number || (how === "mute") !== (kind === "answer")) return undefined;
  appendFileSync(`${file}.done`, `${order}\n`);
  return how;
}

const answer = self.postMessage.bind(self);
self.postMessage = (...args: unknown[]) => {
  if (deathAt("answer")) process.exit(1);
  Reflect.apply(answer, self, args);
};
self.addEventListener("message", () => {
  const how = deathAt("take");
  if (how === "exit") process.exit(1);
  if (how === "throw") throw new Error("The worker dies of the test");
});
