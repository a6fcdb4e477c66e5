/** What differs between two configs, by what it means and not by how it is written. Pure. */
import { parse } from "yaml";
import { type Config, effectiveConfig } from "../control/config.ts";
import { LOCAL_PARTS } from "../control/config-schema.ts";

/** A field that differs; null: it is not there. Of an entry that is new or gone, or of a field that is a map, all is in one value. */
export interface FieldChange {
  /** Like `hosts.s1.weight`, `services.web.pool.s2`, `table.drainSeconds`. */
  readonly path: string;
  readonly before: unknown;
  readonly after: unknown;
}

type Plain = Record<string, unknown>;

/** Lists whose entries have names, and which field that is. */
const NAMED: Readonly<Record<string, string>> = { hosts: "name", services: "name", drop: "name", egress: "ip" };

/** The changes of the parts that all hosts share, in the order of the parts. */
export function configChanges(before: Config | null, after: Config): FieldChange[] {
  const [a, b] = [before === null ? {} : plain(before), plain(after)];
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((part) => changes(part, a[part], b[part]));
}

/** The shared parts with every default filled in, their lists as maps. */
function plain(config: Config): Plain {
  const all = parse(effectiveConfig(config)) as Plain;
  const shared = Object.entries(all).filter(([part]) => !LOCAL_PARTS.includes(part));
  return Object.fromEntries(
    shared.map(([part, value]) => {
      const field = NAMED[part];
      if (field === undefined) return [part, value];
      return [part, Object.fromEntries((value as Plain[]).map(({ [field]: name, ...rest }) => [String(name), rest]))];
    }),
  );
}

const isMap = (value: unknown): value is Plain => typeof value === "object" && value !== null && !Array.isArray(value);

function changes(path: string, a: unknown, b: unknown): FieldChange[] {
  if (JSON.stringify(a) === JSON.stringify(b)) return [];
  const isWhole = !isMap(a) || !isMap(b);
  if (isWhole && !(path in NAMED)) return [{ path, before: a ?? null, after: b ?? null }];
  const [x, y] = [isMap(a) ? a : {}, isMap(b) ? b : {}];
  const keys = [...new Set([...Object.keys(x), ...Object.keys(y)])];
  return keys.flatMap((key) => changes(`${path}.${key}`, x[key], y[key]));
}
