import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { version } from "../gateway/version.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const folders = ["protocol", "gateway", "central", "packaging"];

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .map((path) => join(folder, path))
    .filter((path) => /\.(ts|tsx|mjs)$/.test(path) && statSync(join(root, path)).isFile());
}

interface Import {
  readonly from: string;
  readonly to: string;
  readonly typeOnly: boolean;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), "utf8");
  const pattern = /^\s*(?:import|export)\s+(type\s+)?(?:[^"';]*?\sfrom\s+)?"([^"]+)"/gm;
  return [...text.matchAll(pattern)].map(([, type, to]) => ({
    from: file,
    to: to!.startsWith(".") ? relative(root, resolve(root, dirname(file), to!)) : to!,
    typeOnly: type !== undefined,
  }));
}

const files = folders.flatMap(sources);
const all = files.flatMap(importsOf);
const inside = (path: string, folder: string): boolean => path === folder || path.startsWith(`${folder}/`);
const breaches = (wrong: (edge: Import) => boolean): string[] => all.filter(wrong).map(({ from, to }) => `${from} → ${to}`);

it("finds imports at all", () => {
  expect(all.length).toBeGreaterThan(200);
  expect(breaches(({ to }) => to.startsWith("protocol/") && !existsSync(join(root, to)))).toEqual([]);
});

it("keeps protocol pure: nothing of ours, no I/O", () => {
  const allowed = new Set(["zod", "jsonata", "yaml", "decimal.js"]);
  expect(breaches(({ from, to }) => inside(from, "protocol") && !inside(to, "protocol") && !allowed.has(to))).toEqual([]);
});

it("keeps the base of protocol free of schemas, for the threads that load no package", () => {
  expect(breaches(({ from, to }) => inside(from, "protocol/base") && !inside(to, "protocol/base"))).toEqual([]);
});

it("lets gateway and central import protocol through its door, and never each other", () => {
  expect(breaches(({ from, to }) => inside(from, "gateway") && (inside(to, "central") || inside(to, "packaging")))).toEqual([]);
  expect(breaches(({ from, to }) => inside(from, "central") && (inside(to, "gateway") || inside(to, "packaging")))).toEqual([]);
  expect(
    breaches(
      ({ from, to }) =>
        (inside(from, "gateway") || inside(from, "central")) && inside(to, "protocol") && to !== "protocol/index.ts",
    ),
  ).toEqual([]);
});

it("keeps the demo out of everything that ships", () => {
  expect(breaches(({ from, to }) => !inside(from, "packaging/demo") && inside(to, "packaging/demo"))).toEqual([]);
});

it("has no cycle of imports", () => {
  const edges = new Map<string, string[]>();
  for (const { from, to, typeOnly } of all)
    if (!typeOnly && files.includes(to)) edges.set(from, [...(edges.get(from) ?? []), to]);
  const state = new Map<string, "open" | "done">();
  const cycles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (state.get(file) === "done") return;
    if (state.get(file) === "open") {
      cycles.push([...path.slice(path.indexOf(file)), file].join(" → "));
      return;
    }
    state.set(file, "open");
    for (const next of edges.get(file) ?? []) visit(next, [...path, file]);
    state.set(file, "done");
  };
  for (const file of files) visit(file, []);
  expect(cycles).toEqual([]);
});

it("says one version everywhere", () => {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  expect(version).toBe(manifest.version);
});
