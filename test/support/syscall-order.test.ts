import { once } from "node:events";
import { connect } from "node:net";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { temporaryFolder } from "./folder.ts";
import { requireService } from "./services.ts";
import { parseStrace } from "./strace-log.ts";
import { checkSyscallOrder, type OrderReport, startTraced } from "./syscall-order.ts";

const eatmydata = await requireService("eatmydata");
const server = fileURLToPath(new URL("./scripts/flushing-server.ts", import.meta.url));
const publish = (qos: 1 | 2, id: number) => Buffer.from([0x30 | (qos << 1), 7, 0, 1, 0x61, 0, id, 0x78, 0x79]);
const post = Buffer.from("POST /in HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n{}");

/** Sends each request once the one before is answered, and judges what the server did. */
async function judge(mode: string, wrapper: readonly string[] = []): Promise<OrderReport> {
  using folder = temporaryFolder();
  await using traced = await startTraced([...wrapper, process.execPath, server, folder.path, mode]);
  const [port] = (await once(traced.child.stdout as NodeJS.ReadableStream, "data")) as [Buffer];
  for (const requests of [[publish(1, 7), publish(2, 8)], [post]]) {
    const socket = connect(Number(port.toString()), "127.0.0.1");
    for (const request of requests) {
      socket.write(request);
      await once(socket, "data");
    }
    socket.destroy();
  }
  return await traced.report(folder.path);
}

describe.skipIf(!(await requireService("strace")))("the check that acknowledged means on disk", () => {
  it("passes a server that flushes before it acknowledges", async () => {
    expect(await judge("good")).toEqual({ checked: 3, violations: [] });
  });

  it("finds a server that acknowledges first", async () => {
    const { checked, violations } = await judge("early");
    expect(checked).toBe(3);
    expect(violations.map(({ acknowledgement }) => acknowledgement)).toEqual(["PUBACK 7", "PUBREC 8", "HTTP 202"]);
  });

  it.skipIf(!eatmydata)("finds a server whose flushes were taken away", async () => {
    const { checked, violations } = await judge("good", ["eatmydata"]);
    expect(checked).toBe(3);
    expect(violations).toHaveLength(3);
  });
});

describe("the order of system calls in a log", () => {
  const socket = "25<TCP:[127.0.0.1:1883->127.0.0.1:40000]>";
  const read = `10  read(${socket}, "\\x32\\x07\\x00\\x01\\x61\\x00\\x07\\x78\\x79", 65536) = 9`;
  const ack = `10  write(${socket}, "\\x40\\x02\\x00\\x07", 4) = 4`;
  const verdict = (...lines: string[]) => checkSyscallOrder(parseStrace(lines.join("\n")), "/data").violations.length;

  it("counts a flush that ended in between, in another thread", () => {
    expect(
      verdict(read, "11  fdatasync(21</data/queue.sqlite-wal> <unfinished ...>", "11  <... fdatasync resumed>) = 0", ack),
    ).toBe(0);
  });

  it.each([
    [
      "that had begun before the message was read",
      ["11  fdatasync(21</data/q> <unfinished ...>", read, "11  <... fdatasync resumed>) = 0", ack],
    ],
    ["that has not ended yet", [read, "11  fdatasync(21</data/q> <unfinished ...>", ack, "11  <... fdatasync resumed>) = 0"]],
    ["that failed", [read, "11  fdatasync(21</data/q>) = -1 EIO (Input/output error)", ack]],
    ["of a file elsewhere", [read, "11  fdatasync(21</database/q>) = 0", ack]],
    ["of an earlier message", ["11  fdatasync(21</data/q>) = 0", read, ack]],
  ])("does not count a flush %s", (_name, lines) => {
    expect(verdict(...lines)).toBe(1);
  });

  it("does not judge a log whose bytes were cut short", () => {
    expect(() => parseStrace(`10  read(${socket}, "\\x32"..., 65536) = 9`)).toThrow(/larger -s/);
  });

  it("puts packets together that came in pieces", () => {
    const pieces = [`10  read(${socket}, "\\x32\\x07\\x00\\x01", 4) = 4`, `10  read(${socket}, "a\\0\\x07xy", 5) = 5`];
    expect(checkSyscallOrder(parseStrace([...pieces, "11  fsync(21</data/q>) = 0", ack].join("\n")), "/data")).toEqual({
      checked: 1,
      violations: [],
    });
    expect(verdict(pieces[0] as string, "11  fsync(21</data/q>) = 0", pieces[1] as string, ack)).toBe(1);
  });
});
