/** Clients that begin and do not go on. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

/** Sends a request; resolves once its answer has begun, of which nothing more is read. */
export async function stallAfterFirstByte(port: number, request: string): Promise<Socket> {
  const socket = connect(port, "127.0.0.1", () => socket.write(request)).on("error", () => {});
  await once(socket, "data");
  return socket.pause();
}

/** Sends the beginning of a request, and keeps the connection open. */
export async function stallAfterSending(port: number, beginning: string): Promise<Socket> {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  await once(socket, "connect");
  await new Promise<void>((resolve, reject) => {
    socket.write(beginning, (error) => (error ? reject(error) : resolve()));
  });
  return socket.pause();
}
