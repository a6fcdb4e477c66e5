/** A config in two places: a host's own parts in a file, those that all hosts share in a store. */
import { type ConfigResult, type LocalConfig, parseLocal, parseParts, readText } from "./config.ts";
import { LOCAL_PARTS } from "./config-schema.ts";
import { readYaml } from "./config-yaml.ts";

/** A text, and what its errors are reported under. */
export interface Named {
  readonly text: string;
  readonly name: string;
}

/** Lines for the parts in the local text that belong into the store. */
const strangers = (raw: Record<string, unknown>, name: string): string[] =>
  Object.keys(raw)
    .filter((part) => !LOCAL_PARTS.includes(part))
    .map((part) => `${name}: ${part}: is kept in the store (take it out here; \`hafl apply FILE\` puts it there)`);

/** A host's own file, with what it names as its store; with a store other than the file itself it may hold nothing else. */
export function loadLocal(file: string): { local: LocalConfig; text: string } | { errors: string[] } {
  const read = readText(file);
  if ("errors" in read) return read;
  const parsed = parseLocal(read.text, file);
  if ("errors" in parsed) return parsed;
  const errors = parsed.local.store.kind === "file" ? [] : strangers(parsed.raw, file);
  return errors.length > 0 ? { errors } : { local: parsed.local, text: read.text };
}

/** The config of a host from its own parts and those in the store; or every error, under the name of the text that it is in. */
export function mergeConfig(own: Named, wanted: Named): ConfigResult {
  const [a, b] = [readYaml(own.text, own.name), readYaml(wanted.text, wanted.name)];
  if ("errors" in a) return a;
  if ("errors" in b) return b;
  const misplaced = Object.keys(b.raw)
    .filter((part) => LOCAL_PARTS.includes(part))
    .map((part) => `${wanted.name}: ${part}: belongs into the file of each host (take it out here)`);
  const errors = [...strangers(a.raw, own.name), ...misplaced];
  if (errors.length > 0) return { errors };
  return parseParts({ ...b.raw, ...a.raw }, (part) => (LOCAL_PARTS.includes(part) ? own.name : wanted.name));
}
