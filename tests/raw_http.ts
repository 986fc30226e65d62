/** One request on a bare TCP socket, for what no HTTP client would send. */
import { connect } from "node:net";
import { within } from "./wait.ts";

/** Sends the text and returns what comes back up to the end of the answer's head. */
export function rawRequest(port: number, text: string): Promise<string> {
  const answer = new Promise<string>((resolve, reject) => {
    const socket = connect(port, "127.0.0.1", () => socket.write(text));
    let received = "";
    socket.setEncoding("utf8").on("data", (chunk) => {
      received += chunk;
      if (!received.includes("\r\n\r\n")) return;
      resolve(received);
      socket.destroy();
    });
    socket.on("close", () => resolve(received)).on("error", reject);
  });
  return within("an answer to a bare request", answer);
}
