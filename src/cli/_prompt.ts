/** Questions on the terminal. */
import { printableLines } from "./table.ts";

export interface Prompt {
  line(question: string): Promise<string>;
  /** What is typed is not shown. */
  secret(question: string): Promise<string>;
}

/** Thrown where Ctrl-C or Ctrl-D ends a question. */
export class PromptEnded extends Error {
  override readonly name = "PromptEnded";
}

/** The part of process.stdin that a prompt reads. */
export interface Keyboard {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  on(event: "data", listener: (chunk: Uint8Array) => void): unknown;
  on(event: "end", listener: () => void): unknown;
  off(event: "data" | "end", listener: (chunk: Uint8Array) => void): unknown;
  resume(): unknown;
  pause(): unknown;
}

const ANSWER_CHARS_MAX = 4_096;
const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const CTRL_U = "\u0015";

/** A prompt on a terminal, or undefined where nobody sits at one. */
export function createPrompt(keyboard: Keyboard, write: (text: string) => void): Prompt | undefined {
  if (keyboard.isTTY !== true || keyboard.setRawMode === undefined) return undefined;
  return {
    line: (question) => ask(question, { keyboard, write, isShown: true }),
    secret: (question) => ask(question, { keyboard, write, isShown: false }),
  };
}

interface Asking {
  readonly keyboard: Keyboard;
  readonly write: (text: string) => void;
  readonly isShown: boolean;
}

function ask(question: string, { keyboard, write, isShown }: Asking): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let typed = "";
  const decoder = new TextDecoder();
  const rub = (count: number) => {
    if (isShown) write("\b \b".repeat(count));
  };
  /** True where the answer is over. */
  const key = (char: string): boolean => {
    const isStop = char === CTRL_C || char === CTRL_D;
    const isEnter = char === "\r" || char === "\n";
    if (isStop) reject(new PromptEnded("Stopped"));
    else if (isEnter) resolve(typed);
    else if (char === CTRL_U || char === "\u007f" || char === "\b") {
      const count = char === CTRL_U ? typed.length : Math.min(1, typed.length);
      typed = typed.slice(0, typed.length - count);
      rub(count);
    } else if (char >= " " && typed.length < ANSWER_CHARS_MAX) {
      typed += char;
      if (isShown) write(char);
    }
    return isStop || isEnter;
  };
  const read = (chunk: Uint8Array) => {
    for (const char of decoder.decode(chunk, { stream: true })) if (key(char)) return;
  };
  const end = () => reject(new PromptEnded("Stopped"));
  // First: what is typed as the question comes would else be shown by the terminal itself.
  keyboard.setRawMode?.(true);
  write(printableLines(question));
  keyboard.on("data", read);
  keyboard.on("end", end);
  keyboard.resume();
  return promise.finally(() => {
    keyboard.off("data", read);
    keyboard.off("end", end);
    keyboard.setRawMode?.(false);
    keyboard.pause();
    write("\n");
  });
}
