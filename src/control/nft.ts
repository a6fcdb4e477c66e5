/** Running `nft`. It is needed only on hosts that own slices of an egress IP. */
import { execFileSync } from "node:child_process";
import { readlinkSync } from "node:fs";
import { askTool } from "./ask-tool.ts";
import type { EgressCounts } from "./egress-rules.ts";
import { Failure } from "./failure.ts";

const REMEDY = "`nft` is not installed or not in PATH: hosts that own slices of an egress IP need it (install nftables)";

/** How long `nft` may take, ms, where this thread waits for it: at start, at the end, in a reload, and in the command line. */
const NFT_MS = 10_000;

/** Runs `nft`, in the network namespace of another process when `pid` is given. Throws a Failure of one line. */
function nft(args: readonly string[], input = "", pid?: number): string {
  const elsewhere = pid !== undefined && readlinkSync(`/proc/${pid}/ns/net`) !== readlinkSync("/proc/self/ns/net");
  const command = [...(elsewhere ? ["nsenter", "-t", `${pid}`, "-n"] : []), "nft", ...args];
  try {
    const options = { encoding: "utf8", stdio: "pipe", input, timeout: NFT_MS, killSignal: "SIGKILL" } as const;
    return execFileSync(command[0]!, command.slice(1), options);
  } catch (error) {
    const { code, stderr } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT") throw new Failure(REMEDY);
    if (code === "ETIMEDOUT") throw new Failure(`\`nft\` gave no answer within ${NFT_MS / 1000} s (see what holds it up)`);
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

const countersOf = (table: string): string[] => ["-j", "list", "counters", "table", "inet", table];

/** The counters of a table by the key that ends their names; null when they cannot be read. `pid` as for nft(). */
export function readCounts(table: string, pid?: number): Map<string, EgressCounts> | null {
  try {
    return countsIn(nft(countersOf(table), "", pid));
  } catch {
    return null;
  }
}

/** The same, of this process's namespace, without holding up this thread. Never rejects. */
export async function askCounts(table: string): Promise<Map<string, EgressCounts> | null> {
  try {
    const { code, stdout } = await askTool("nft", countersOf(table));
    return code === 0 ? countsIn(stdout) : null;
  } catch {
    return null;
  }
}

function countsIn(text: string): Map<string, EgressCounts> {
  const { nftables } = JSON.parse(text) as { nftables: { counter?: { name: string; packets: number } }[] };
  const counts = new Map<string, EgressCounts>();
  for (const { counter } of nftables) {
    const [, name, key] = /^(exhausted|strayed)-(.+)$/.exec(counter?.name ?? "") ?? [];
    if (key === undefined) continue;
    counts.set(key, { ...(counts.get(key) ?? { exhausted: 0, strayed: 0 }), [name!]: counter!.packets });
  }
  return counts;
}
