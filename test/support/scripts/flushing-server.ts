import { fdatasyncSync, openSync, writeSync } from "node:fs";
import { createServer } from "node:net";

/**
 * The smallest server that acknowledges MQTT publishes and HTTP posts: writes what it reads to `<folder>/data`. `early`: acknowledges first.
 * Ends with its input.
 */
const [folder = "", mode = "good"] = process.argv.slice(2);
const file = openSync(`${folder}/data`, "a");

const server = createServer((socket) => {
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    const http = chunk.subarray(0, 4).toString() === "POST";
    // PUBLISH to a topic of one letter: the packet id lies at byte 5
    const answer = http
      ? "HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
      : Buffer.from([((chunk[0] ?? 0) >> 1) & 1 ? 0x40 : 0x50, 2, chunk[5] ?? 0, chunk[6] ?? 0]);
    if (mode === "early") socket.write(answer);
    writeSync(file, chunk);
    fdatasyncSync(file);
    if (mode !== "early") socket.write(answer);
  });
}).listen(0, "127.0.0.1", () => {
  const address = server.address();
  process.stdout.write(`${typeof address === "object" ? address?.port : ""}\n`);
});
process.stdin.resume().on("end", () => process.exit(0));
