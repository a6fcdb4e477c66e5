/** `hafl mtu`: what wrapping a packet costs, and what is left of the path for the packet itself. */
import type { Command } from "commander";
import type { Config, HostConfig } from "../control/config.ts";
import { outerOverhead } from "../dataplane/outer-overhead.ts";
import { textTable } from "../lab/text-table.ts";
import { MAX_CHAIN } from "../steering/generations.ts";
import { gueHeaderLength, HOPS_IPV4, HOPS_IPV6 } from "../wire/gue.ts";
import { loadOrExit } from "./config-file.ts";
import type { CliEnv } from "./env.ts";

const DEFAULT_MTU = 1500;

export interface MtuRow {
  readonly host: string;
  /** Family of the outer header. */
  readonly outer: 4 | 6;
  /** Hosts of the chain, the one the packet goes to included. */
  readonly chain: number;
  /** Bytes of outer IP, UDP and GUE headers, and of the largest inner packet. */
  readonly overhead: number;
  readonly largest: number;
  /** TCP payload in it, without TCP options: what to clamp the MSS of servers to. */
  readonly mss4: number;
  readonly mss6: number;
}

const has = (host: HostConfig, family: number): boolean => host.dips.some((dip) => dip.family === family);

/**
 * Rows for each host and length of chain on paths of `mtu` bytes, IPv4 outside where the host has it.
 */
export function mtuRows(config: Config, mtu: number): MtuRow[] {
  const allHave4 = config.hosts.every((host) => has(host, 4));
  return config.hosts.flatMap((host) =>
    Array.from({ length: MAX_CHAIN }, (_, i): MtuRow => {
      const outer = has(host, 4) ? 4 : 6;
      const overhead = outerOverhead(outer, gueHeaderLength(i, allHave4 ? HOPS_IPV4 : HOPS_IPV6));
      const largest = mtu - overhead;
      return { host: host.name, outer, chain: i + 1, overhead, largest, mss4: largest - 40, mss6: largest - 60 };
    }),
  );
}

const HEAD = ["host", "outer", "chain", "overhead", "largest inner packet", "MSS IPv4", "MSS IPv6"];

const NOTE = "UDP of services with state names the first hop once more: as a chain longer by one.";

export function register(program: Command, env: CliEnv): void {
  program
    .command("mtu")
    .description("print what wrapping costs and the largest inner packet, by host and length of chain")
    .requiredOption("--config <file>", "the cluster's configuration")
    .option("--mtu <bytes>", "MTU of the paths between hosts", String(DEFAULT_MTU))
    .option("--json", "print JSON")
    .action(async (options: { config: string; mtu: string; json?: boolean }, command: Command) => {
      const mtu = Number(options.mtu);
      if (!Number.isInteger(mtu) || mtu < 576 || mtu > 65_535) {
        return command.error(`error: --mtu: ${options.mtu} is not from 576 to 65535`, { exitCode: 2 });
      }
      const rows = mtuRows(await loadOrExit(options.config, command), mtu);
      if (options.json === true) env.stdout.write(`${JSON.stringify(rows)}\n`);
      else {
        const cells = rows.map((r) => [r.host, `IPv${r.outer}`, r.chain, r.overhead, r.largest, r.mss4, r.mss6]);
        env.stdout.write(`${textTable(HEAD, cells)}${NOTE}\n`);
      }
    });
}
