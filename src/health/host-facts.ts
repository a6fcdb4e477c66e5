/** What an agent's own check looks at: the host's network as it is now. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { endianness } from "node:os";
import { type Family, type Rule, readSysctl } from "../control/host-state.ts";
import type { Desired } from "../control/plan.ts";
import { type Address, formatAddress, parseAddress } from "../wire/address.ts";

export interface Route {
  readonly dst: string;
  readonly type?: string;
  readonly dev?: string;
}

export interface FamilyFacts {
  readonly rules: readonly Rule[];
  /** Of our table, and of the local one. */
  readonly routes: readonly Route[];
  readonly local: readonly Route[];
}

export interface HostFacts {
  /** Devices, and whether they are up. */
  readonly devices: ReadonlyMap<string, boolean>;
  readonly addresses: ReadonlySet<string>;
  /** Of the families that were asked for. */
  readonly families: ReadonlyMap<Family, FamilyFacts>;
  /** What counts for IPv4 packets from the TUN: the larger one of `all` and the TUN's own. */
  readonly reversePath: number;
  /** UDP sockets on the GUE port, by address. */
  readonly gueSockets: ReadonlyMap<string, number>;
}

interface Link {
  readonly ifname: string;
  readonly flags: readonly string[];
}
interface WithAddresses {
  readonly addr_info: readonly { readonly local: string }[];
}

/** Patience with `ip` on a machine that is very busy, ms. */
const IP_MS = 10_000;

/** What several `ip` commands of a family print: the rows of each. The thread goes on meanwhile. */
function ask(family: Family, commands: readonly string[]): Promise<unknown[][]> {
  return new Promise((resolve, reject) => {
    const args = ["-j", `-${family}`, "-force", "-batch", "-"];
    // A table that does not exist is an error to some versions of `ip`: then it prints nothing for it.
    const child = execFile("ip", args, { timeout: IP_MS, maxBuffer: 1 << 28 }, (error, stdout) => {
      const rows = stdout.split("\n").filter((line) => line.startsWith("["));
      try {
        if (rows.length === commands.length) resolve(rows.map((line) => JSON.parse(line) as unknown[]));
        else reject(error ?? new Error(`ip printed ${rows.length} answers to ${commands.length} questions`));
      } catch (broken) {
        // It was broken off in the middle of a line.
        reject(error ?? broken);
      }
    });
    child.stdin!.on("error", () => {});
    child.stdin!.end(`${commands.join("\n")}\n`);
  });
}

const HEX_WORD = endianness() === "LE" ? -1 : 1;

/** An address as /proc/net/udp has it: words of 4 bytes in the machine's order. */
function readProcAddress(hex: string): string {
  const bytes = hex.match(/.{8}/g)!.flatMap((word) => {
    const four = word.match(/../g)!.map((byte) => Number.parseInt(byte, 16));
    return HEX_WORD < 0 ? four.reverse() : four;
  });
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16)).join(":");
  const address = parseAddress(groups);
  return address === null ? groups : formatAddress(address);
}

/** Counts the sockets on a port in the text of /proc/net/udp or udp6. */
export function socketsOn(port: number, text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const line of text.split("\n").slice(1)) {
    const [, hex, number] = /^\s*\d+: ([0-9A-F]+):([0-9A-F]{4}) /.exec(line) ?? [];
    if (hex === undefined || Number.parseInt(number!, 16) !== port) continue;
    const address = readProcAddress(hex);
    counts.set(address, (counts.get(address) ?? 0) + 1);
  }
  return counts;
}

/** Reads all that `desired` speaks of. Rejects when `ip` cannot be asked. */
export async function readHostFacts(desired: Desired, dips: readonly Address[], guePort: number): Promise<HostFacts> {
  const wanted = ([4, 6] as const).filter((family) =>
    [...desired.vips.map(({ address }) => address), ...dips].some((a) => a.family === family),
  );
  const devices = new Map<string, boolean>();
  const addresses = new Set<string>();
  const families = new Map<Family, FamilyFacts>();
  const gueSockets = new Map<string, number>();
  await Promise.all(
    wanted.map(async (family) => {
      // The local table speaks of every address; it is only asked for prefixes.
      const prefixes = desired.vips.some(
        ({ address, length }) => address.family === family && length < (family === 4 ? 32 : 128),
      );
      const commands = [
        "link show",
        "addr show",
        "rule show",
        `route show table ${desired.table}`,
        ...(prefixes ? ["route show table local"] : []),
      ];
      const [links, addressed, rules, routes, local = []] = await ask(family, commands);
      // A device without addresses of the family is a link only.
      for (const { ifname, flags } of links as Link[]) devices.set(ifname, flags.includes("UP"));
      for (const { addr_info } of addressed as WithAddresses[])
        for (const { local: address } of addr_info) addresses.add(address);
      families.set(family, { rules: rules as Rule[], routes: routes as Route[], local: local as Route[] });
      const text = await readFile(`/proc/net/udp${family === 4 ? "" : "6"}`, "utf8").catch(() => "");
      for (const [address, count] of socketsOn(guePort, text)) gueSockets.set(address, count);
    }),
  );
  const filter = (device: string): number => Number(readSysctl(`net/ipv4/conf/${device}/rp_filter`) ?? 0);
  return { devices, addresses, families, reversePath: Math.max(filter("all"), filter(desired.tun)), gueSockets };
}
