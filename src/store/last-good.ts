/** The last state of the store that counted, on this host's disk: what an agent starts with while the store is away. */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { z } from "zod";
import { type Followed, NOTHING } from "./followed.ts";
import { RECORDS } from "./records.ts";

const SHAPE = z.strictObject({
  format: z.literal(1),
  cluster: z.string(),
  wanted: RECORDS.wanted.nullable(),
  pools: z.record(z.string(), RECORDS.generations),
});

/** Reads it. Nothing where there is none, or none of this cluster; throws an Error that says what is wrong with one that cannot be used. */
export function readLastGood(file: string, cluster: string): Followed {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return NOTHING;
    throw new Error(`${file}: cannot be read: ${(error as Error).message}`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Error(`${file}: not JSON: ${(error as Error).message} (remove it: it is made anew from the store)`);
  }
  const result = SHAPE.safeParse(json);
  if (!result.success) {
    const { path, message } = result.error.issues[0]!;
    throw new Error(`${file}: ${path.join(".")}: ${message} (remove it: it is made anew from the store)`);
  }
  const { cluster: of, wanted, pools } = result.data;
  return of === cluster ? { wanted, pools } : NOTHING;
}

/** Replaces it at once. Throws when that cannot be. */
export function writeLastGood(file: string, cluster: string, { wanted, pools }: Followed): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, JSON.stringify({ format: 1, cluster, wanted, pools }), { mode: 0o600, flush: true });
  renameSync(`${file}.new`, file);
}
