/** The folders are the architecture: imports go one way, files stay small. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const SRC = join(ROOT, "src");

/** What a folder may import of ours besides itself; a path names a single file. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  shm: [],
  bpf: ["wire"],
  steering: ["wire"],
  io: ["wire", "shm", "bpf"],
  dataplane: ["wire", "steering", "shm", "bpf", "io/packet-io.ts"],
  control: ["steering", "shm", "wire", "io", "bpf"],
  store: ["control", "steering", "wire", "io/runtime-files.ts", "io/native.ts"],
  health: ["store", "control", "wire", "shm", "io"],
  conductor: ["store", "control", "steering", "shm", "wire"],
  load: ["control"],
  simulate: ["conductor", "steering", "lab/text-table.ts"],
  routes: ["store", "control", "wire", "io"],
  metrics: ["conductor", "load", "store", "control", "shm", "wire", "io"],
  replay: ["wire", "steering", "shm", "io", "dataplane"],
};
/** Where a thread of the data plane is put together from devices and shared files. */
const COMPOSITION = [
  "dataplane/worker.ts",
  "dataplane/current-tables.ts",
  "dataplane/socket-questions.ts",
  "dataplane/current-rules.ts",
];

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

function importsOf(file: string): string[] {
  const text = readFileSync(join(SRC, file), "utf8");
  const paths = [...text.matchAll(/^(?:import|export)\b[^;]*?from "(\.[^"]+)";/gms)].map((match) => match[1]!);
  return paths.map((path) => relative(SRC, join(SRC, dirname(file), path)));
}

test("imports go one way", () => {
  for (const file of files) {
    const folder = file.split("/")[0]!;
    const allowed = ALLOWED[folder];
    if (allowed === undefined || COMPOSITION.includes(file)) continue;
    for (const imported of importsOf(file)) {
      const fine = [folder, ...allowed].some((part) => imported === part || imported.startsWith(`${part}/`));
      assert.ok(fine, `src/${file} imports src/${imported}: ${folder} may import ${allowed.join(", ") || "nothing of ours"}`);
    }
  }
});

test("the data plane and the control plane meet in shared memory only", () => {
  for (const file of files.filter((name) => /^(dataplane|control)\//.test(name))) {
    const other = file.startsWith("dataplane/") ? "control/" : "dataplane/";
    assert.ok(!importsOf(file).some((imported) => imported.startsWith(other)), file);
  }
});

test("no file is above 400 lines", () => {
  const native = readdirSync(join(ROOT, "native")).filter((name) => name.endsWith(".c"));
  for (const path of [...files.map((name) => join(SRC, name)), ...native.map((name) => join(ROOT, "native", name))]) {
    const lines = readFileSync(path, "utf8").split("\n").length;
    assert.ok(lines <= 400, `${relative(ROOT, path)} has ${lines} lines`);
  }
});

test("no environment variables are read below the command line", () => {
  for (const file of files.filter((name) => !/^(cli|lab)\//.test(name))) {
    assert.ok(!readFileSync(join(SRC, file), "utf8").includes("process.env"), file);
  }
});
