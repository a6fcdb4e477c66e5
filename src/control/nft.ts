/** Running `nft`. It is needed only on hosts that own slices of an egress IP. */
import { execFileSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import type { EgressCounts } from "./egress-rules.ts";
import { Failure } from "./failure.ts";

const REMEDY = "`nft` is not installed or not in PATH: hosts that own slices of an egress IP need it (install nftables)";

/** Runs `nft`, in the network namespace of another process when `pid` is given. Throws a Failure of one line. */
function nft(args: readonly string[], input = "", pid?: number): string {
  const elsewhere = pid !== undefined && readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync("/proc/self/ns/net");
  const command = [...(elsewhere ? ["nsenter", "-t", `${pid}`, "-n"] : []), "nft", ...args];
  try {
    return execFileSync(command[0]!, command.slice(1), { encoding: "utf8", stdio: ["pipe", "pipe", "pipe"], input });
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT") throw new Failure(REMEDY);
    const said = (stderr ?? String(error)).trim().split("\n")[0]!;
    const remedy = /permitted|denied/.test(said)
      ? "CAP_NET_ADMIN is needed: run it as root"
      : "the kernel needs nf_tables with NAT and connlimit";
    throw new Failure(`\`nft\` failed: ${said} (${remedy})`);
  }
}

/** Throws a Failure when there is no `nft`. */
export function requireNft(): void {
  nft(["--version"]);
}

/** Carries out the text of rules, all of it or nothing. Throws a Failure. */
export function applyRules(text: string): void {
  nft(["-f", "-"], `${text}\n`);
}

/** The counters of a table by the key that ends their names; null when there is no table. `pid` as for nft(). */
export function readCounts(table: string, pid?: number): Map<string, EgressCounts> | null {
  let text: string;
  try {
    text = nft(["-j", "list", "counters", "table", "inet", table], "", pid);
  } catch {
    return null;
  }
  const { nftables } = JSON.parse(text) as { nftables: { counter?: { name: string; packets: number } }[] };
  const counts = new Map<string, EgressCounts>();
  for (const { counter } of nftables) {
    const [, name, key] = /^(exhausted|strayed)-(.+)$/.exec(counter?.name ?? "") ?? [];
    if (key === undefined) continue;
    counts.set(key, { ...(counts.get(key) ?? { exhausted: 0, strayed: 0 }), [name!]: counter!.packets });
  }
  return counts;
}
