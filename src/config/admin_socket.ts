/** Where a running server takes the commands of this machine: both sides must agree on it. */
import { join } from "node:path";

/** The system keeps a socket's path in a field of 108 bytes (macOS: 104), with a zero at its end. */
export const SOCKET_PATH_BYTES_MAX: number = process.platform === "darwin" ? 103 : 107;

/** The admin socket of a data folder. */
export function adminSocketPath(dataFolder: string): string {
  return join(dataFolder, "admin.sock");
}

/** Why a socket cannot be at this path; undefined where it can. */
export function socketPathProblem(path: string): { message: string; hint: string } | undefined {
  const bytes = Buffer.byteLength(path);
  if (bytes <= SOCKET_PATH_BYTES_MAX) return undefined;
  return {
    message: `the path "${path}" has ${bytes} bytes, and that of a socket may have ${SOCKET_PATH_BYTES_MAX}`,
    hint: "Set PDS_DATA_DIRECTORY to a shorter path; a symbolic link to the folder will do.",
  };
}
