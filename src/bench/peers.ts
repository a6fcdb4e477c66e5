/** HAProxy and nginx, as balancers of TCP connections and as web server: their configs, and starting them. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { spawnDaemon } from "../lab/namespace.ts";
import { pollFor } from "../lab/poll.ts";
import { labDir, logFile } from "../lab/state.ts";
import { type Place, runOn } from "./namespace-process.ts";
import { streamModule, tool } from "./tools.ts";

/** Addresses of the balancers on their host; each listens on the server's ports. */
export const BALANCERS = { haproxy: "10.0.1.102", "haproxy-splice": "10.0.1.103", nginx: "10.0.1.104" } as const;

const READY_MS = 10_000;
/** Bytes of a page: about what the smallest answers of real servers have. */
const PAGE = 1024;

const haproxySocket = (lab: string): string => join(labDir(lab), "haproxy.sock");

/** Debian's defaults but for the number of connections; a server without port is asked at the port the client asked for. */
function haproxyConfig(lab: string, server: string, ports: readonly number[]): string {
  const section = (name: "haproxy" | "haproxy-splice", option: string): string => `
listen ${name}
${ports.map((port) => `  bind ${BALANCERS[name]}:${port}`).join("\n")}
${option}  server s1 ${server}
`;
  return `global
  maxconn 4096
  stats socket ${haproxySocket(lab)} mode 600 level admin
defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
${section("haproxy", "")}${section("haproxy-splice", "  option splice-request\n  option splice-response\n")}`;
}

const nginxMain = (lab: string, name: string): string => `daemon off;
worker_processes auto;
pid ${join(labDir(lab), `${name}.pid`)};
events { worker_connections 4096; }
`;

function streamConfig(lab: string, server: string, ports: readonly number[]): string {
  const module = streamModule();
  const servers = ports.map(
    (port) => `  server { listen ${BALANCERS.nginx}:${port} reuseport backlog=8192; proxy_pass ${server}:${port}; }`,
  );
  return `${module ? `load_module ${module};\n` : ""}${nginxMain(lab, "stream")}stream {\n${servers.join("\n")}\n}\n`;
}

function webConfig(lab: string, node: string, port: number): string {
  const folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  const paths = folders.map((kind) => `  ${kind}_temp_path ${join(labDir(lab), `${node}.${kind}`)};`);
  return `${nginxMain(lab, node)}http {
  access_log off;
  keepalive_requests 1000000000;
${paths.join("\n")}
  server {
    listen ${port} reuseport backlog=8192;
    location / { default_type text/plain; return 200 "${"haflinger ".repeat(PAGE / 10 + 1).slice(0, PAGE)}"; }
  }
}
`;
}

async function startNginx(place: Place, node: string, name: string, config: string): Promise<void> {
  const file = join(labDir(place.lab), `${node}.${name}.conf`);
  writeFileSync(file, config);
  await spawnDaemon(place.lab, node, [...tool("nginx"), "-e", "stderr", "-c", file], logFile(place.lab, node, name));
}

export const startWebServer = (place: Place, node: string, port: number): Promise<void> =>
  startNginx(place, node, "web", webConfig(place.lab, node, port));

/** Waits until something listens on all of these, ADDRESS:PORT or :PORT. */
export async function awaitListening(place: Place, node: string, places: readonly string[]): Promise<void> {
  let open = "";
  const all = async (): Promise<true | null> => {
    open = await runOn(place, node, ["ss", "-Hltn"]);
    return places.every((end) => open.includes(`${end} `)) ? true : null;
  };
  if ((await pollFor(all, READY_MS, 50, place.signal)) !== null) return;
  place.signal.throwIfAborted();
  const missing = places.filter((end) => !open.includes(`${end} `));
  throw new Error(`${node}: nothing listens on ${missing.join(", ")}${lastWords(place.lab, node)}`);
}

/** The last line that each program of a node logged, for messages. */
function lastWords(lab: string, node: string): string {
  const logs = readdirSync(labDir(lab)).filter((name) => name.startsWith(`${node}.`) && name.endsWith(".log"));
  const lines = logs.map(
    (name) =>
      readFileSync(join(labDir(lab), name), "utf8")
        .trim()
        .split("\n")
        .at(-1)!,
  );
  return lines
    .filter((line) => line !== "")
    .map((line) => `; ${line}`)
    .join("");
}

/** Starts those of the balancers that are in `peers`; they end with the lab. */
export async function startPeers(
  place: Place,
  node: string,
  server: string,
  peers: ReadonlySet<string>,
  ports: readonly number[],
): Promise<void> {
  if (peers.has("haproxy")) {
    const file = join(labDir(place.lab), "haproxy.conf");
    writeFileSync(file, haproxyConfig(place.lab, server, ports));
    await spawnDaemon(place.lab, node, [...tool("haproxy"), "-db", "-f", file], logFile(place.lab, node, "haproxy"));
  }
  if (peers.has("nginx")) await startNginx(place, node, "stream", streamConfig(place.lab, server, ports));
  const addresses = [
    ...(peers.has("haproxy") ? [BALANCERS.haproxy, BALANCERS["haproxy-splice"]] : []),
    ...(peers.has("nginx") ? [BALANCERS.nginx] : []),
  ];
  const places = addresses.flatMap((address) => ports.map((port) => `${address}:${port}`));
  if (places.length > 0) await awaitListening(place, node, places);
}

/** Asks HAProxy on its socket, which is a file and so in no namespace. */
function askHaproxy(lab: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(haproxySocket(lab), () => socket.write(`${command}\n`));
    let answer = "";
    socket.on("data", (chunk) => {
      answer += chunk.toString();
    });
    socket.on("error", reject);
    socket.on("end", () => resolve(answer));
  });
}

export interface HaproxyCounts {
  /** Bytes in and out, by section. */
  readonly bytes: Readonly<Record<string, number>>;
  /** Of all bytes, those that went out by splice(). */
  readonly spliced: number;
}

export async function haproxyCounts(lab: string): Promise<HaproxyCounts> {
  const [header, ...rows] = (await askHaproxy(lab, "show stat")).replace(/^# /, "").trim().split("\n");
  const names = header!.split(",");
  const field = (row: string[], name: string): string => row[names.indexOf(name)]!;
  const frontends = rows.map((row) => row.split(",")).filter((row) => field(row, "svname") === "FRONTEND");
  const bytes = frontends.map((row) => [field(row, "pxname"), Number(field(row, "bin")) + Number(field(row, "bout"))]);
  // HAProxy spells it TotalSplicdedBytesOut in some versions.
  const spliced = /TotalSplic\w*BytesOut: (\d+)/.exec(await askHaproxy(lab, "show info"))?.[1] ?? "0";
  return { bytes: Object.fromEntries(bytes), spliced: Number(spliced) };
}
