import { expect, test } from "bun:test";
import { adminSocketPath, SOCKET_PATH_BYTES_MAX, socketPathProblem } from "./admin_socket.ts";

test("adminSocketPath() is in the data folder", () => {
  expect(adminSocketPath("/var/lib/kith")).toBe("/var/lib/kith/admin.sock");
});

test("socketPathProblem() counts bytes, not characters", () => {
  const folder = (path: string) => `/${path.padEnd(SOCKET_PATH_BYTES_MAX - 1, "x")}`;
  expect(socketPathProblem(folder(""))).toBeUndefined();
  expect(socketPathProblem(`${folder("")}x`)?.message).toContain(`has ${SOCKET_PATH_BYTES_MAX + 1} bytes`);
  expect(socketPathProblem(folder("ü"))?.message).toContain(`has ${SOCKET_PATH_BYTES_MAX + 1} bytes`);
});
