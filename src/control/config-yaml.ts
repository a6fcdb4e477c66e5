/** From the text of a config to plain values. */
import { type Document, isMap, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { MAX_BYTES, tooCostly } from "./yaml-cost.ts";

type Raw = Record<string, unknown>;

/** Errors that are reported of one text. */
const MOST_ERRORS = 20;

/**
 * YAML to plain values. A seed that looks like a number is taken as it was written. Gives error lines `FILE:LINE:COLUMN: not YAML: ...`
 * for what cannot be parsed, has keys twice, or would cost too much to read. Never throws.
 */
export function readYaml(text: string, file: string): { raw: Raw } | { errors: string[] } {
  if (text.length > MAX_BYTES)
    return { errors: [`${file}: has ${text.length} bytes, more than the ${MAX_BYTES} that a config may have`] };
  // Errors of the parser are made with a stack trace each, which nobody reads: 200,000 of them take 12 s with it, 1 s without.
  const depth = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return parse(text, file);
  } catch (error) {
    return { errors: [`${file}: not YAML: ${(error as Error).message}`] };
  } finally {
    Error.stackTraceLimit = depth;
  }
}

function parse(text: string, file: string): { raw: Raw } | { errors: string[] } {
  const costly = tooCostly(text);
  if (costly !== null) return { errors: [`${file}:${costly.line}: ${costly.text}`] };
  const lines = new LineCounter();
  const document = parseDocument(text, { prettyErrors: false, uniqueKeys: false, lineCounter: lines });
  const where = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return line > 0 ? `${file}:${line}:${col}` : file;
  };
  // After the first error the reader is out of step, and what it says is about that; keys used twice are mistakes each.
  const [first] = [...document.errors, ...document.warnings];
  const faults = [
    ...(first === undefined ? [] : [{ offset: first.pos[0], message: first.message.split("\n")[0]! }]),
    ...repeatedKeys(document),
  ];
  if (faults.length > 0)
    return { errors: faults.slice(0, MOST_ERRORS).map(({ offset, message }) => `${where(offset)}: not YAML: ${message}`) };
  const raw: unknown = document.toJS({ maxAliasCount: 0 });
  if (raw === null || raw === undefined)
    return { errors: [`${file}: the file is empty (see \`hafl help check\` for an example)`] };
  if (typeof raw !== "object" || Array.isArray(raw))
    return { errors: [`${file}: not a map at the top (write \`cluster: NAME\`, \`hosts:\`, ...)`] };
  const seed = document.get("seed", true);
  if (isScalar(seed) && typeof seed.value === "number" && seed.source !== undefined)
    (raw as { seed: unknown }).seed = seed.source;
  return { raw: raw as Raw };
}

/** Keys that a map has twice, and where. The library compares each key with all others: a minute for 90,000 of them. */
function repeatedKeys(document: Document.Parsed): { offset: number; message: string }[] {
  const faults: { offset: number; message: string }[] = [];
  visit(document, {
    Map(_, map) {
      if (!isMap(map)) return;
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        const value = isScalar(key) ? key.value : key;
        if (seen.has(value))
          faults.push({ offset: isScalar(key) ? (key.range?.[0] ?? 0) : 0, message: "Map keys must be unique" });
        seen.add(value);
      }
    },
  });
  return faults;
}
