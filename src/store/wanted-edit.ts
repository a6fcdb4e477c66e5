/**
 * Changes of the config document that keep its comments and its layout: only the characters that say otherwise are others afterwards.
 * Pure. However the document is written, the result says what was asked for and nothing else, or there is none.
 */
import { isDeepStrictEqual } from "node:util";
import { type Document, isAlias, isMap, isScalar, isSeq, type Pair, parseDocument, type YAMLMap } from "yaml";

export type Field = string | number | null;
export type Edited = { readonly text: string } | { readonly error: string };

type Plain = Record<string, unknown>;

/** Where a document cannot be edited; the message says why. */
class Unwritable extends Error {}

/** One field of a map: set, or removed with null. */
interface Step {
  /** Finds the map: in the document, and in what it says. */
  readonly find: (document: Document) => YAMLMap;
  readonly among: (plain: Plain) => Plain;
  readonly key: string;
  readonly value: Field;
}

/** Sets fields in the entry of a host in `hosts`; null removes one. */
export function editHost(text: string, host: string, fields: Readonly<Record<string, Field>>): Edited {
  return edit(
    text,
    Object.entries(fields).map(([key, value]) => ({
      find: (document) => entry(document, "hosts", host),
      among: (plain) => named(plain.hosts, host),
      key,
      value,
    })),
  );
}

/** Sets the weight that a host has in the pool of a service. */
export function editPool(text: string, service: string, host: string, weight: number): Edited {
  const find = (document: Document): YAMLMap => {
    const pool = entry(document, "services", service).get("pool", true);
    if (isMap(pool)) return pool;
    throw new Unwritable(`its pool gives no weights (write pool: { ${host}: ${weight}, ... } and use hafl apply)`);
  };
  return edit(text, [{ find, among: (plain) => named(plain.services, service).pool as Plain, key: host, value: weight }]);
}

/** Takes parts out at the top, those that are there. */
export function withoutParts(text: string, parts: readonly string[]): Edited {
  const find = (document: Document): YAMLMap => {
    if (isMap(document.contents)) return document.contents;
    throw new Unwritable("it is not a map at the top");
  };
  return edit(
    text,
    parts.map((key) => ({ find, among: (plain: Plain) => plain, key, value: null })),
  );
}

function edit(text: string, steps: readonly Step[]): Edited {
  try {
    // What aliases share in the document are copies here: one of them changes, not all.
    const wanted = JSON.parse(JSON.stringify(parsed(text).toJS())) as Plain;
    let edited = text;
    for (const step of steps) {
      edited = setField(edited, step.find(parsed(edited)), step.key, step.value);
      const map = step.among(wanted);
      if (step.value === null) delete map[step.key];
      else map[step.key] = step.value;
    }
    if (isDeepStrictEqual(parsed(edited).toJS(), wanted)) return { text: edited };
    return { error: "the document is written in a way that cannot be edited in place (use hafl apply)" };
  } catch (error) {
    if (error instanceof Unwritable) return { error: error.message };
    throw error;
  }
}

function parsed(text: string): Document {
  const document = parseDocument(text);
  const [error] = document.errors;
  if (error !== undefined) throw new Unwritable(`not YAML: ${error.message.split("\n")[0]}`);
  return document;
}

/** The entry of that name in a list at the top. */
function entry(document: Document, part: string, name: string): YAMLMap {
  const list = document.get(part, true);
  const item = isSeq(list) ? list.items.find((one) => isMap(one) && one.get("name") === name) : undefined;
  if (isMap(item)) return item;
  const isElsewhere = isSeq(list) && list.items.some((one) => isAlias(one));
  throw new Unwritable(
    isElsewhere ? `${part}: "${name}" is written by an alias (use hafl apply)` : `${part}: nobody is named "${name}"`,
  );
}

const named = (list: unknown, name: string): Plain => (list as Plain[]).find((one) => one.name === name)!;

function rangeOf(node: unknown): readonly [from: number, to: number] {
  const range = (node as { range?: readonly [number, number, number] | null } | null)?.range;
  if (!range) throw new Unwritable("a field without a value cannot be edited in place (use hafl apply)");
  return [range[0], range[1]];
}

/** The text with one field of a map in it set or removed. */
function setField(text: string, map: YAMLMap, key: string, value: Field): string {
  const at = map.items.findIndex((pair) => isScalar(pair.key) && pair.key.value === key);
  const splice = (from: number, to: number, by: string): string => text.slice(0, from) + by + text.slice(to);
  if (at >= 0 && value !== null) return splice(...rangeOf(map.items[at]!.value), String(value));
  if (at >= 0) return splice(...(map.flow ? inFlow(map, at) : inBlock(text, map, at)), "");
  if (value === null) return text;
  if (map.flow) {
    const end = rangeOf(map.items.at(-1)?.value)[1];
    return splice(end, end, `, ${key}: ${value}`);
  }
  // Below the first field that is one line by itself: its indentation is that of all.
  const first = map.items.find((pair) => isScalar(pair.value)) ?? map.items[0]!;
  const [start, end] = [rangeOf(first.key)[0], lineEnd(text, lastOf(first))];
  const newline = text.includes("\r\n") ? "\r\n" : "\n";
  return splice(end, end, `${newline}${" ".repeat(start - lineStart(text, start))}${key}: ${value}`);
}

/** What a field takes of a map in braces, with one comma. */
function inFlow({ items }: YAMLMap, at: number): [number, number] {
  const before = items[at - 1];
  if (before !== undefined) return [lastOf(before), lastOf(items[at]!)];
  const next = items[at + 1];
  return [rangeOf(items[at]!.key)[0], next === undefined ? lastOf(items[at]!) : rangeOf(next.key)[0]];
}

/** What a field takes of a map in lines: whole lines, with the comment behind it but not those above. */
function inBlock(text: string, { items }: YAMLMap, at: number): [number, number] {
  const start = rangeOf(items[at]!.key)[0];
  const line = lineStart(text, start);
  const next = items[at + 1];
  // What stands before it on its line, like the dash of a list, is for the next field.
  if (text.slice(line, start).trim() !== "") return [start, next === undefined ? lastOf(items[at]!) : rangeOf(next.key)[0]];
  const end = text.indexOf("\n", lastOf(items[at]!));
  return [line, end < 0 ? text.length : end + 1];
}

/** Where the last character of a field's value is, behind it. */
function lastOf(pair: Pair): number {
  let node: unknown = pair.value;
  while ((isMap(node) || isSeq(node)) && !node.flow && node.items.length > 0) {
    const last: unknown = node.items.at(-1);
    node = isMap(node) ? (last as Pair).value : last;
  }
  return rangeOf(node)[1];
}

const lineStart = (text: string, at: number): number => text.lastIndexOf("\n", at - 1) + 1;

function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  if (end < 0) return text.length;
  return text[end - 1] === "\r" ? end - 1 : end;
}
