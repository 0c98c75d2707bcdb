import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { type FlushedFiles, flushedFiles } from "../../../protocol/index.ts";

const refusal = (code: string): Error => Object.assign(new Error(`${code}: it is refused`), { code });
const temporary = () => fs.mkdtempDisposableSync(join(tmpdir(), "plantgate-"));

/** Files of a platform, where some of the renames are refused. */
function filesOf(platform: NodeJS.Platform, refusals: () => Error | undefined = () => undefined): FlushedFiles {
  const renameSync: typeof fs.renameSync = (...names) => {
    const error = refusals();
    if (error) throw error;
    fs.renameSync(...names);
  };
  return flushedFiles({ ...fs, dirname, platform, renameSync });
}

it("replaces a small file whole, for its owner's eyes alone, and leaves nothing beside it", () => {
  using folder = temporary();
  const file = join(folder.path, "settings");
  const { writeFlushed } = filesOf(process.platform);
  writeFlushed(file, "old");
  writeFlushed(file, Buffer.from("new"));
  expect(fs.readFileSync(file, "utf8")).toBe("new");
  expect(fs.statSync(file).mode & 0o777).toBe(0o600);
  expect(fs.readdirSync(folder.path)).toEqual(["settings"]);
});

it("flushes a small file before it takes the old one's place, and the folder after that", () => {
  using folder = temporary();
  const file = join(folder.path, "settings");
  const steps: string[] = [];
  const names = new Map<number, string>();
  const { writeFlushed } = flushedFiles({
    platform: "linux",
    dirname,
    openSync(path, flags, mode) {
      const handle = fs.openSync(path, flags, mode);
      names.set(handle, path);
      return handle;
    },
    writeFileSync: fs.writeFileSync,
    fsyncSync(handle) {
      steps.push(`flush ${names.get(handle)}`);
    },
    closeSync: fs.closeSync,
    renameSync(from, to) {
      steps.push(`rename to ${to}`);
      fs.renameSync(from, to);
    },
  });
  writeFlushed(file, "new");
  expect(steps).toEqual([`flush ${file}.new`, `rename to ${file}`, `flush ${folder.path}`]);
});

describe("small files on Windows", () => {
  it("are renamed once whoever has one of them open lets it go", () => {
    using folder = temporary();
    const [from, to] = [join(folder.path, "settings.new"), join(folder.path, "settings")];
    fs.writeFileSync(from, "new");
    fs.writeFileSync(to, "old");
    const said = [refusal("EPERM"), refusal("EBUSY"), refusal("EACCES")];
    filesOf("win32", () => said.pop()).renameOver(from, to);
    expect(fs.readFileSync(to, "utf8")).toBe("new");
  });

  it("are not renamed again where the refusal is for good", () => {
    let tries = 0;
    const { renameOver } = filesOf("win32", () => {
      tries += 1;
      return refusal("ENOSPC");
    });
    expect(() => renameOver("a", "b")).toThrow("ENOSPC");
    expect(tries).toBe(1);
  });

  it("are renamed at once or not at all elsewhere", () => {
    let tries = 0;
    const { renameOver } = filesOf("linux", () => {
      tries += 1;
      return refusal("EPERM");
    });
    expect(() => renameOver("a", "b")).toThrow("EPERM");
    expect(tries).toBe(1);
  });

  it("need no file system that lets a folder be flushed", () => {
    // what Windows asks for, opened for writing, is refused here: EISDIR
    using folder = temporary();
    const { flushFolder } = filesOf("win32");
    expect(() => flushFolder(folder.path)).not.toThrow();
    expect(() => flushFolder(join(folder.path, "missing"))).toThrow("ENOENT");
  });
});
