/** Whether this process may do what an agent does. */
import { readFileSync } from "node:fs";
import { Failure } from "./failure.ts";

const NEEDED = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13 } as const;

/** Throws a Failure that names the missing capabilities. */
export function requireCapabilities(status = readFileSync("/proc/self/status", "utf8")): void {
  const set = (name: string): bigint => BigInt(`0x${new RegExp(`^${name}:\\s*([0-9a-f]+)`, "m").exec(status)?.[1] ?? "0"}`);
  const root = /^Uid:\s+\d+\s+0\s/m.test(status);
  // Without root, `ip` has only what is passed on to it.
  const usable = root ? set("CapEff") : set("CapEff") & set("CapAmb");
  const missing = Object.entries(NEEDED).filter(([, bit]) => ((usable >> BigInt(bit)) & 1n) === 0n);
  if (missing.length === 0) return;
  const names = missing.map(([name]) => name).join(" and ");
  throw new Failure(
    `no permission: ${names} ${missing.length > 1 ? "are" : "is"} needed (run as root, or with ${missing.length > 1 ? "them" : "it"} as ambient capabilities)`,
  );
}
