/** The one YAML file of a cluster without a store of its own, as the file store sees it: what is wanted, beside what is this host's own. */
import { createHash } from "node:crypto";
import { chmodSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { isMap, isScalar, parseDocument } from "yaml";
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

const isLocal = (key: string): boolean => LOCAL_PARTS.includes(key);

/** A part of a config with the comment right above it, and all up to the next one. */
interface Piece {
  readonly key: string;
  readonly text: string;
}

const endsLine = (text: string): string => (text === "" || text.endsWith("\n") ? text : `${text}\n`);

/** A config in pieces, behind what stands above the first; null where it cannot be cut so. */
function inPieces(text: string): { readonly head: string; readonly pieces: readonly Piece[] } | null {
  const document = parseDocument(text);
  const { contents } = document;
  if (document.errors.length > 0 || !isMap(contents) || contents.flow) return null;
  const starts: { key: string; at: number }[] = [];
  for (const { key } of contents.items) {
    if (!isScalar(key) || !key.range) return null;
    const [at] = key.range;
    if (at > 0 && text[at - 1] !== "\n") return null;
    starts.push({ key: String(key.value), at: withComment(text, at) });
  }
  const pieces = starts.map(({ key, at }, i) => ({ key, text: endsLine(text.slice(at, starts[i + 1]?.at)) }));
  return { head: text.slice(0, starts[0]?.at), pieces };
}

/** Where the lines begin that are nothing but comment right above the line at `at`. */
function withComment(text: string, at: number): number {
  for (let start = at; ; ) {
    const before = text.lastIndexOf("\n", start - 2) + 1;
    if (before === start || text[before] !== "#") return start;
    start = before;
  }
}

const join = (pieces: readonly Piece[]): string => pieces.map(({ text }) => text).join("");

/** The wanted parts of a config file, with their comments; all of a text that is no such file: who reads it says what is wrong. */
export function wantedOf(text: string): string {
  const cut = inPieces(text);
  return cut === null ? text : join(cut.pieces.filter(({ key }) => !isLocal(key)));
}

/**
 * The file's text with other wanted parts; its local ones stay, and each part in its place. Throws a StoreRefused when they do not go
 * together.
 */
export function withWanted(text: string | null, config: string, path: string): string {
  const next = inPieces(config);
  if (next === null) throw new StoreRefused(`${path}: what is to be written is no config in lines, one part below the other`);
  if (text === null) return config;
  const old = inPieces(text);
  if (old === null) throw new StoreRefused(`${path}: not YAML in lines any more (repair it first: it has this host's own parts)`);
  const wanted = next.pieces.filter(({ key }) => !isLocal(key));
  const added = wanted.filter(({ key }) => !old.pieces.some((piece) => piece.key === key));
  const kept = old.pieces.flatMap((piece) => (isLocal(piece.key) ? piece : (wanted.find(({ key }) => key === piece.key) ?? [])));
  const whole = old.head + join([...kept, ...added]);
  try {
    const document = parseDocument(whole);
    if (document.errors.length > 0) throw document.errors[0]!;
    document.toJS();
    return whole;
  } catch (error) {
    throw new StoreRefused(`${path}: ${(error as Error).message.split("\n")[0]} (write out what \`*\` stands for)`);
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
