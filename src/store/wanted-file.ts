/** The one YAML file of a cluster without a store of its own, as the file store sees it: what is wanted, beside what is this host's own. */
import { createHash } from "node:crypto";
import { chmodSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { type Document, isMap, parseDocument } from "yaml";
import { LOCAL_PARTS } from "../control/config-schema.ts";
import { readRecord, type WantedRecord, writeRecord } from "./records.ts";
import { StoreRefused } from "./store.ts";

export const digestOf = (text: string): string => createHash("sha256").update(text).digest("hex");

/** The text of the file; null when there is none. */
export function readWantedFile(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

const asMap = (text: string): Document.Parsed | null => {
  const document = parseDocument(text);
  return document.errors.length === 0 && isMap(document.contents) ? document : null;
};
const isLocal = (key: unknown): boolean => LOCAL_PARTS.some((part) => part === String(key));

/** The wanted parts of a config file, with their comments; all of a text that is no such file: who reads it says what is wrong. */
export function wantedOf(text: string): string {
  const document = asMap(text);
  if (document === null) return text;
  for (const part of LOCAL_PARTS) document.delete(part);
  return document.toString({ lineWidth: 0 });
}

/** The file's text with other wanted parts; its local ones stay. Throws a StoreRefused when they do not go together. */
export function withWanted(text: string | null, config: string, path: string): string {
  const document = asMap(config);
  if (document === null || !isMap(document.contents)) throw new StoreRefused(`${path}: what is to be written is no config`);
  const old = text === null ? null : asMap(text);
  if (text !== null && old === null)
    throw new StoreRefused(`${path}: not YAML any more (repair it first: it has this host's own parts)`);
  const local = old !== null && isMap(old.contents) ? old.contents.items.filter(({ key }) => isLocal(key)) : [];
  document.contents.items.unshift(...(local as typeof document.contents.items));
  try {
    return document.toString({ lineWidth: 0 });
  } catch (error) {
    throw new StoreRefused(`${path}: ${(error as Error).message} (write out what \`*\` stands for)`);
  }
}

/** Replaces the file at once; who may read it stays as it was. */
export function writeWantedFile(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600, flush: true });
  try {
    chmodSync(`${path}.new`, statSync(path).mode & 0o777);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
  renameSync(`${path}.new`, path);
}

/** The change that somebody has made in the file by hand, or by what writes such files. */
export function changeByHand(path: string, text: string, before: string | null): string {
  const known = before === null ? null : readRecord("wanted", path, before);
  const change = known !== null && "record" in known ? known.record.change + 1 : 1;
  const when = Math.floor(statSync(path).mtimeMs);
  return writeRecord("wanted", { change, who: "file", when, why: `${path} was written`, config: wantedOf(text) });
}

/** A value for `wanted`, which a file store has to understand. Throws a StoreRefused for another. */
export function parseWanted(key: string, value: string): WantedRecord {
  const result = readRecord("wanted", key, value);
  if ("error" in result) throw new StoreRefused(result.error);
  return result.record;
}
