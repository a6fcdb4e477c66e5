/**
 * What BIRD is told by a file of ours that its config includes: one protocol for each prefix.
 *
 *     protocol static hafl_192_0_2_10 {
 *       description "hafl 8c1f09ab44d2";
 *       ipv4 { table master4; };
 *       route 192.0.2.10/32 via "hafl-s1";
 *     }
 *
 * Why so, and not otherwise:
 * - A protocol is switched by `enable` and `disable`, which need no look at any file: to withdraw, nothing has to be parsed, and a
 *   mistake that somebody has just made in bird.conf is in nobody's way. `configure` is only needed when prefixes come or go.
 * - A protocol that is withdrawn says so in the file too (`disabled`): BIRD takes the file's word whenever it starts or is
 *   configured, also by others.
 * - The route leads to the agent's own TUN. When the agent dies, however it dies, the kernel takes the TUN away, BIRD sees the
 *   device go and withdraws the route by itself, while the agent's blackhole keeps the host silent. Nobody has to notice the death.
 * - The description has a hash of the rest: it tells whether the protocol that BIRD runs is the one in the file.
 */
import { createHash } from "node:crypto";
import type { BgpConfig } from "../control/config-bgp.ts";
import { MAX_PREFERENCE } from "../control/config-bgp.ts";
import { formatPrefix, type Prefix } from "../wire/address.ts";

/** A protocol of ours in BIRD. */
export interface RouteProtocol {
  readonly name: string;
  /** As people write it: without the length when it is one address. */
  readonly prefix: string;
  readonly description: string;
  /** All of it that does not change while it is announced and withdrawn. */
  readonly body: string;
}

const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 12);

/** Makes a route worse by so many steps. eBGP passes a MED on only if the export filter sets it: see the README. */
function attributes({ weigh, as }: BgpConfig, preference: number): string {
  const steps = MAX_PREFERENCE - preference;
  if (steps === 0) return "";
  return weigh === "med" ? ` { bgp_med = ${steps}; }` : ` { ${`bgp_path.prepend(${as}); `.repeat(steps)}}`;
}

/** The protocol that announces a prefix by way of a device. */
export function routeProtocol(bgp: BgpConfig, prefix: Prefix, device: string, preference: number): RouteProtocol {
  const text = formatPrefix(prefix);
  const { family } = prefix.address;
  const full = text.includes("/") ? text : `${text}/${prefix.length}`;
  const table = family === 4 ? bgp.tables.ipv4 : bgp.tables.ipv6;
  const body = `  ipv${family} { table ${table}; };\n  route ${full} via "${device}"${attributes(bgp, preference)};\n`;
  const name = `${bgp.protocol}_${text.replaceAll(/[^0-9a-f]/g, "_")}`;
  return { name, prefix: text, description: `hafl ${hash(body)}`, body };
}

/** The file. `announced`: whether a protocol's route is. */
export function snippet(protocols: readonly RouteProtocol[], announced: (protocol: RouteProtocol) => boolean): string {
  const one = (p: RouteProtocol): string =>
    `protocol static ${p.name} {\n  description "${p.description}";\n${announced(p) ? "" : "  disabled;\n"}${p.body}}\n`;
  return `# Written by hafl, which also switches these protocols on and off.\n${protocols.map(one).join("")}`;
}
