/**
 * One log entry, one line: JSON for a program to read, or plain for a terminal. No secret passes: values are hidden by
 * the name of their key, by their shape (tokens, authorization headers, app passwords), and by being a known secret.
 */
import { writeSync } from "node:fs";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal";
export type LogFields = Readonly<Record<string, unknown>>;
export type LogFormat = "json" | "text";

export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to each of its entries. */
  child(fields: LogFields): Logger;
}

/** The process's own logger, which can be told of secrets that no entry may contain. */
export interface RootLogger extends Logger {
  /** From now on `secret` is replaced wherever it occurs. Shorter than `SECRET_CHARS_MIN` is ignored. */
  hide(secret: string): void;
}

export interface LoggerOptions {
  readonly level?: LogLevel;
  readonly enabled?: boolean;
  readonly format?: LogFormat;
  /** Receives each line, with its newline. Default: a synchronous write to standard error. */
  readonly write?: (line: string) => void;
  /** Whether errors come with their stacks; false for what is said to somebody at a terminal. */
  readonly stacks?: boolean;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

export const LOG_LEVELS: readonly LogLevel[] = ["trace", "debug", "info", "warn", "error", "fatal"];
export const LINE_CHARS_MAX = 16_384;
const TEXT_CHARS_MAX = 4_096;
const DEPTH_MAX = 5;
const ENTRIES_MAX = 50;
const KNOWN_KEYS_MAX = 1_024;
const KNOWN_KEY_CHARS_MAX = 64;
/** A known secret shorter than this would blank out ordinary words. */
const SECRET_CHARS_MIN = 6;
const HIDDEN = "[hidden]";

const SECRET_KEY =
  /pass(word|wd|phrase)|secret|token|authori[sz]ation|cookie|jwt|private_?key|rotation_?key|api_?key|credential|^dpop$|^code$|invite_?code/i;

const SECRET_SHAPES: readonly (readonly [RegExp, string])[] = [
  [/\b(Bearer|DPoP|Basic)\s+[\w.~+/=-]{4,}/gi, `$1 ${HIDDEN}`],
  [/\beyJ[\w-]{4,}\.[\w-]+(\.[\w-]*){1,3}/g, HIDDEN],
  [/\b([a-z][a-z0-9+.-]{1,20}:\/\/)[^\s/@"']+@/gi, `$1${HIDDEN}@`],
  [/([?&](?:access_token|refresh_token|token|code|password|secret)=)[^&\s"']+/gi, `$1${HIDDEN}`],
  [/\b[a-z2-7]{4}(?:-[a-z2-7]{4}){3}\b/g, HIDDEN],
];

/** Something of this is in every text that one of the shapes fits: nearly all texts are looked through once, not five times. */
const SUSPICIOUS = /bearer|dpop|basic|eyJ|:\/\/|[?&-]/i;

/** `text` without tokens, authorization values, URL passwords and app passwords. */
export function redact(text: string): string {
  if (!SUSPICIOUS.test(text)) return text;
  return SECRET_SHAPES.reduce((rest, [shape, instead]) => rest.replace(shape, instead), text);
}

/** A logger that writes to standard error unless told otherwise. */
export function createLogger(options: LoggerOptions = {}): RootLogger {
  const secrets = new Set<string>();
  const clean = (text: string): string => {
    let rest = text;
    for (const secret of secrets) if (rest.includes(secret)) rest = rest.replaceAll(secret, HIDDEN);
    return redact(rest.length > TEXT_CHARS_MAX ? `${rest.slice(0, TEXT_CHARS_MAX)}...` : rest);
  };
  const sink: Sink = {
    least: LOG_LEVELS.indexOf(options.level ?? "info"),
    enabled: options.enabled ?? true,
    render: options.format === "text" ? renderText : renderJson,
    write: options.write ?? ((line) => writeQuietly(2, line)),
    now: options.now ?? Date.now,
    clean,
    stacks: options.stacks ?? true,
  };
  const hide = (secret: string) => void (secret.length >= SECRET_CHARS_MIN && secrets.add(secret));
  return Object.assign(loggerOver(sink, {}), { hide });
}

interface Sink {
  readonly least: number;
  readonly enabled: boolean;
  readonly render: (entry: Entry) => string;
  readonly write: (line: string) => void;
  readonly now: () => number;
  readonly clean: (text: string) => string;
  readonly stacks: boolean;
}

interface Entry {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
  readonly fields: Record<string, unknown>;
}

function loggerOver(sink: Sink, bound: LogFields): Logger {
  const log = (level: LogLevel, message: string, fields?: LogFields): void => {
    if (!sink.enabled || LOG_LEVELS.indexOf(level) < sink.least) return;
    const time = new Date(sink.now()).toISOString();
    const shown = showFields({ ...bound, ...fields }, sink);
    sink.write(`${sink.render({ time, level, message: sink.clean(message), fields: shown })}\n`);
  };
  return {
    debug: (message, fields) => log("debug", message, fields),
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
    child: (fields) => loggerOver(sink, { ...bound, ...fields }),
  };
}

/** How values are shown, and how deep within an entry. */
type Showing = Pick<Sink, "clean" | "stacks"> & { readonly depth: number };

function showFields(fields: LogFields, { clean, stacks }: Sink): Record<string, unknown> {
  return showValue(fields, { clean, stacks, depth: 0 }) as Record<string, unknown>;
}

function showValue(value: unknown, at: Showing): unknown {
  if (typeof value === "string") return at.clean(value);
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "function" || typeof value === "symbol") return undefined;
  if (typeof value !== "object" || value === null) return value;
  if (value instanceof Uint8Array) return `${value.byteLength} bytes`;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "invalid date" : value.toISOString();
  if (at.depth >= DEPTH_MAX) return "...";
  const next = { ...at, depth: at.depth + 1 };
  if (value instanceof Error) return showError(value, next);
  if (Array.isArray(value)) return value.slice(0, ENTRIES_MAX).map((item) => showValue(item, next));
  const entries = Object.entries(value).slice(0, ENTRIES_MAX);
  return Object.fromEntries(
    entries.map(([key, item]) => [key, isSecretKey(key) && item != null ? HIDDEN : showValue(item, next)]),
  );
}

/** Keys whose names have been looked at: those of the entries that are written all the time. */
const knownKeys = new Map<string, boolean>();

function isSecretKey(key: string): boolean {
  const known = knownKeys.get(key);
  if (known !== undefined) return known;
  const isSecret = SECRET_KEY.test(key);
  if (knownKeys.size < KNOWN_KEYS_MAX && key.length <= KNOWN_KEY_CHARS_MAX) knownKeys.set(key, isSecret);
  return isSecret;
}

function showError(error: Error, at: Showing): unknown {
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  return {
    name: error.name,
    code,
    message: at.clean(error.message),
    hint,
    stack: error.stack === undefined || !at.stacks ? undefined : at.clean(error.stack),
    cause: error.cause === undefined ? undefined : showValue(error.cause, at),
  };
}

function renderJson({ time, level, message, fields }: Entry): string {
  const line = JSON.stringify({ time, level, msg: message, ...fields });
  if (line.length <= LINE_CHARS_MAX) return line;
  return JSON.stringify({ time, level, msg: message, cut: `${line.length} characters` });
}

function renderText({ time, level, message, fields }: Entry): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}=${plainly(value)}`);
  const line = `${time.slice(11, 23)} ${level.toUpperCase().padEnd(5)} ${printable(message)}${pairs.join("")}`;
  return line.length <= LINE_CHARS_MAX ? line : `${line.slice(0, LINE_CHARS_MAX)}...`;
}

function plainly(value: unknown): string {
  if (typeof value === "string" && /^[\w.:/@%+-]+$/.test(value)) return value;
  return printable(JSON.stringify(value) ?? "");
}

/** Control characters could forge further lines, or command the terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is being removed
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g, " ");
}

/** Writes to a file descriptor; a reader that went away (EPIPE) or is full (EAGAIN) loses the line, not the server. */
export function writeQuietly(descriptor: number, text: string): void {
  const bytes = Buffer.from(text);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(descriptor, bytes, at);
  } catch {
    // Nobody is left to be told.
  }
}
