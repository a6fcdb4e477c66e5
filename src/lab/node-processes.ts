/** The processes of a lab's hosts: an agent and a server each. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { nodeProgram, spawnDaemon } from "./namespace.ts";
import { pollFor } from "./poll.ts";
import { SERVER_READY } from "./server.ts";
import { birdConfig, birdSocket, configFile, isAlive, type LabProcess, logFile, replaceFile, runtimeDir } from "./state.ts";
import { ECHO_PORT, HTTP_PORT, type LabSpec, VIP } from "./topology.ts";
import { unprivileged, unprivilegedDirectory } from "./unprivileged.ts";

/** How long an agent or a server may take until it is ready: a slow machine under load, not an expectation. */
const READY_MS = 20_000;
const STOP_MS = 20_000;

/** Starts the HTTP and UDP servers of a host. */
export async function startServer(spec: LabSpec, host: string): Promise<LabProcess> {
  const args = [host, String(HTTP_PORT), String(ECHO_PORT), ...Object.values(VIP)];
  const pid = await spawnDaemon(spec.name, host, nodeProgram("lab/server.ts", args), logFile(spec.name, host, "server"));
  return { node: host, role: "server", pid };
}

/** Starts `hafl run` on a host, with more options if given. */
export async function startAgent(spec: LabSpec, host: string, more: readonly string[] = []): Promise<LabProcess> {
  const where = ["--config", configFile(spec.name), "--host", host, "--runtime-dir", runtimeDir(spec.name, host)];
  const bird = spec.bgp === true ? ["--bird", birdSocket(spec.name, host)] : [];
  const command = nodeProgram("cli/main.ts", ["run", ...where, ...bird, ...more]);
  if (spec.unprivileged) unprivilegedDirectory(runtimeDir(spec.name, host));
  const line = spec.unprivileged ? unprivileged(command) : command;
  const pid = await spawnDaemon(spec.name, host, line, logFile(spec.name, host, "agent"));
  return { node: host, role: "agent", pid };
}

/** Starts BIRD on a node with a config of its own, and waits until it listens. */
export async function startBird(lab: string, node: string, config: string): Promise<LabProcess> {
  const [file, socket] = [birdConfig(lab, node), birdSocket(lab, node)];
  replaceFile(file, config);
  rmSync(socket, { force: true });
  const command = [birdProgram(), "-f", "-c", file, "-s", socket, "-P", `${file}.pid`];
  const pid = await spawnDaemon(lab, node, command, logFile(lab, node, "bird"));
  return { node, role: "bird", pid };
}

const BIRD_PLACES = ["/usr/sbin/bird", "/usr/local/sbin/bird", "/usr/bin/bird"];

/** Where BIRD is. Throws when it is not. */
export function birdProgram(): string {
  const found = BIRD_PLACES.find((path) => existsSync(path));
  if (found === undefined) throw new Error("BIRD 2 is not installed (sh netns-scripts/setup.sh test, or: apt-get install bird2)");
  return found;
}

const readLog = (lab: string, p: LabProcess): string => {
  const path = logFile(lab, p.node, p.role);
  return existsSync(path) ? readFileSync(path, "utf8") : "";
};

/** Whether the process says of itself that it is ready: a server by a line, an agent by a line of its log. */
function saysReady(lab: string, p: LabProcess): boolean {
  const log = readLog(lab, p);
  if (p.role === "bird") return existsSync(birdSocket(lab, p.node));
  if (p.role === "etcd" || p.role === "conductor") return true;
  return p.role === "server" || p.role === "churn" ? log.includes(SERVER_READY) : /"msg":"ready|"ready":true/.test(log);
}

/** Waits until a process is ready. Throws with the last line it wrote when it ends instead or takes too long. */
export async function waitReady(lab: string, p: LabProcess, signal?: AbortSignal): Promise<void> {
  const outcome = await pollFor(() => (!isAlive(lab, p) ? "ended" : saysReady(lab, p) ? "ready" : null), READY_MS, 20, signal);
  if (outcome === "ready") return;
  signal?.throwIfAborted();
  const last = readLog(lab, p).trim().split("\n").at(-1);
  throw new Error(`${p.role} on ${p.node} ${outcome === "ended" ? "ended" : "did not get ready"}: ${last || "it said nothing"}`);
}

/** Asks a process to end and waits until it has; insists after 20 s. True if asking was enough. */
export async function stopProcess(
  lab: string,
  p: LabProcess,
  signal: "SIGTERM" | "SIGINT" | "SIGKILL" = "SIGTERM",
): Promise<boolean> {
  const gone = (): true | null => (isAlive(lab, p) ? null : true);
  if (gone()) return true;
  process.kill(p.pid, signal);
  if (await pollFor(gone, STOP_MS)) return true;
  process.kill(p.pid, "SIGKILL");
  await pollFor(gone, STOP_MS);
  return false;
}
