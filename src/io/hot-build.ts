/**
 * Which build of the hot programs there is. Bundles are made from compiled modules (build/bundle.ts); a manifest beside them names the
 * modules with their hashes. A bundle counts while its modules have the content that it was made from: times of files say nothing about
 * that once a tree was copied.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** What `npm run build` writes to dist/bundle/build.json. */
export interface Manifest {
  /** Names the build: a hash over all programs. */
  readonly id: string;
  /** By program, as its path below src/: hashes of its modules, by their paths below src/. */
  readonly programs: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

/** SHA-256 of a file's content in hex, shortened; null when there is no such file. */
export function contentHash(file: URL | string): string | null {
  try {
    return createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 16);
  } catch {
    return null;
  }
}

/** A build's name, from the hashes of all its modules. */
export function buildId(programs: Manifest["programs"]): string {
  return createHash("sha256").update(JSON.stringify(programs)).digest("hex").slice(0, 12);
}

/** Reads the manifest in a folder of bundles; null when there is none that can be used. */
export function readManifest(bundles: URL): Manifest | null {
  try {
    const { id, programs } = JSON.parse(readFileSync(new URL("build.json", bundles), "utf8")) as Manifest;
    return typeof id === "string" && typeof programs === "object" && programs !== null ? { id, programs } : null;
  } catch {
    return null;
  }
}

/**
 * Why the bundle of a program is not to be run; null: it is. `modules`: folder of the compiled modules. Where a module is not there at
 * all, the bundle is all there is, as in a package.
 */
export function staleBundle(program: string, bundles: URL, modules: URL): string | null {
  const made = readManifest(bundles)?.programs[program];
  if (made === undefined) return "it was never made";
  if (contentHash(new URL(program, bundles)) === null) return "it is missing";
  for (const [module, hash] of Object.entries(made)) {
    const now = contentHash(new URL(module, modules));
    if (now !== null && now !== hash) return `${module} is not what it was made from`;
  }
  return null;
}
