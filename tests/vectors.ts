/** The shared test vectors, which lie beside a checkout in ../shared/vectors and are absent from a plain clone. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../../shared/vectors");

/** Whether a folder of vectors is there; says so where it is not, since the tests over it are then left out. */
export function hasVectors(folder: string): boolean {
  const there = existsSync(join(ROOT, folder));
  if (!there) console.warn(`no test vectors in ${join(ROOT, folder)}: the tests over them are left out`);
  return there;
}

export function vectorNames(folder: string): string[] {
  return readdirSync(join(ROOT, folder)).sort();
}

export function vectorBytes(path: string): Uint8Array {
  return new Uint8Array(readFileSync(join(ROOT, path)));
}

export function vectorText(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

export function vectorJson<T>(path: string): T {
  return JSON.parse(vectorText(path));
}

/** The lines of a text file that are neither empty nor a comment. */
export function vectorLines(path: string): string[] {
  return vectorText(path)
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
}
