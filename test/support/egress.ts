/** Programs that send from a shared egress IP and those that they talk to, as processes in a lab. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { namespaceOf } from "../../src/lab/topology.ts";
import { labObstacle } from "./lab.ts";

/** Why hosts of a lab cannot send from egress IPs, for the `skip` of a test; false when they can. */
export const egressObstacle: string | false =
  labObstacle || (spawnSync("nft", ["--version"]).status === 0 ? false : "nft is not installed (package nftables)");

const program = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url));

/** A started program; it ends with `stop`, or with us. */
export interface Running {
  /** Its first line of output. */
  readonly line: string;
  /** Makes a client send something on every connection. */
  poke(): void;
  stop(): Promise<void>;
}

async function start(lab: string, node: string, name: string, args: readonly string[]): Promise<Running> {
  const command = ["netns", "exec", namespaceOf(lab, node), process.execPath, program(name), ...args];
  const child: ChildProcess = spawn("ip", command, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout! });
  const line = await new Promise<string>((resolve, reject) => {
    lines.once("line", resolve);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`${name} ${args.join(" ")} ended with ${code}`)));
  });
  const stop = async (): Promise<void> => {
    child.stdin!.end();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  };
  return { line, poke: () => child.stdin!.write("\n"), stop };
}

/** A server on these ports of an address. */
export const startServer = (lab: string, node: string, address: string, ports: readonly number[]): Promise<Running> =>
  start(lab, node, "egress-server", [address, ...ports.map(String)]);

export interface Outcome extends Omit<Running, "line"> {
  /** Source ports as the server saw them, one per connection, and error codes of those that failed. */
  readonly ports: readonly number[];
  readonly errors: readonly string[];
}

/** Connections held open until `stop`. */
export async function startClient(
  lab: string,
  node: string,
  from: string,
  to: string,
  port: number,
  count: number,
  protocol: "tcp" | "udp" = "tcp",
  localPort = 0,
): Promise<Outcome> {
  const args = [from, to, `${port}`, `${count}`, protocol, `${localPort}`];
  const running = await start(lab, node, "egress-client", args);
  return { ...running, ...(JSON.parse(running.line) as { ports: number[]; errors: string[] }) };
}
