/**
 * Metrics over HTTP, for Prometheus and for whoever asks whether the agent lives and is ready.
 *
 *     /metrics   all metrics, in Prometheus's text format
 *     /live      200 as long as the agent runs
 *     /ready     200 while the host is fit for packets, else 503; a line for each reason
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Registry } from "prom-client";
import type { AgentView, Attendant } from "../control/attendant.ts";
import type { Config } from "../control/config.ts";
import { type Endpoint, formatEndpoint } from "../control/config-metrics.ts";
import { registerBursts } from "./burst-histogram.ts";
import { dataPlaneFamilies } from "./data-plane.ts";
import { type Family, register } from "./family.ts";
import { type Applied, hostFamilies } from "./host.ts";
import { LiveCounts } from "./live-counts.ts";
import { ProcessMetrics } from "./process.ts";

/** While the agent before has not ended yet its place is taken; another program may stay. */
const AGAIN_MS = 250;
const PATIENCE_MS = 5_000;
/** Whoever asks more than that at a time has to wait. */
const CONNECTIONS = 16;
const ASK_MS = 10_000;

export interface MetricsOptions {
  /** Where to listen, in place of the config's; null: nowhere. */
  readonly listen?: Endpoint | null | undefined;
  /** What else there is to be shown. */
  readonly more?: readonly Family[];
}

export class MetricsServer implements Attendant {
  readonly name = "metrics";
  readonly #view: AgentView;
  readonly #options: MetricsOptions;
  readonly #registry = new Registry();
  readonly #process = new ProcessMetrics();
  #counts: LiveCounts | null = null;
  #applied: Applied = { since: Date.now(), count: 1 };
  #server: Server | null = null;
  #where: Endpoint | null = null;
  #again: NodeJS.Timeout | undefined;
  /** What /ready says besides the board. */
  #leaving = false;

  constructor(view: AgentView, options: MetricsOptions = {}) {
    this.#view = view;
    this.#options = options;
  }

  start(): void {
    const counts = new LiveCounts(this.#view);
    this.#counts = counts;
    const host = hostFamilies(this.#view, () => this.#applied);
    const all = [...host, ...dataPlaneFamilies(counts), ...this.#process.families, ...(this.#options.more ?? [])];
    for (const family of all) register(this.#registry, family);
    registerBursts(this.#registry, () => counts.bursts());
    this.#process.start();
    this.#listenAt(this.#wanted(this.#view.config()));
  }

  changed(config: Config): void {
    this.#applied = { since: Date.now(), count: this.#applied.count + 1 };
    const wanted = this.#wanted(config);
    if (JSON.stringify(wanted) === JSON.stringify(this.#where)) return;
    this.#close();
    this.#listenAt(wanted);
  }

  leaving(): void {
    this.#leaving = true;
  }

  stop(): void {
    this.#close();
    this.#process.stop();
  }

  #wanted({ metrics }: Config): Endpoint | null {
    const { listen } = this.#options;
    return listen === undefined ? (metrics?.listen ?? null) : listen;
  }

  #close(): void {
    clearTimeout(this.#again);
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = null;
  }

  #listenAt(where: Endpoint | null, since = performance.now(), said = false): void {
    this.#where = where;
    if (where === null) return;
    const { log } = this.#view;
    const server = createServer({ requestTimeout: ASK_MS, headersTimeout: ASK_MS }, (request, response) => {
      this.#answer(request, response).catch((error: Error) => {
        log.warn({ err: error }, `metrics cannot be read: ${error.message}`);
        if (!response.headersSent) send(response, 500, `${error.message}\n`);
        else response.destroy();
      });
    });
    server.maxConnections = CONNECTIONS;
    // It keeps nobody from ending.
    server.unref();
    server.on("error", (error: NodeJS.ErrnoException) => {
      // One connection could not be taken, as when there are no descriptors left; others can.
      if (server.listening) return;
      const over = error.code !== "EADDRINUSE" || performance.now() - since > PATIENCE_MS;
      if (over && !said) {
        const taken =
          error.code === "EADDRINUSE" ? "in use by another program (two agents on a machine: --metrics)" : error.message;
        log.warn(
          { event: "metrics", where: formatEndpoint(where) },
          `metrics are not served at ${formatEndpoint(where)}: ${taken}`,
        );
      }
      this.#again = setTimeout(() => this.#listenAt(where, since, said || over), over ? PATIENCE_MS : AGAIN_MS);
      this.#again.unref();
    });
    server.listen(where.port, where.address, () => {
      const { port } = server.address() as AddressInfo;
      const at = formatEndpoint({ ...where, port });
      log.info({ event: "metrics", where: at }, `metrics: http://${at}/metrics`);
    });
    this.#server = server;
  }

  async #answer({ method, url }: IncomingMessage, response: ServerResponse): Promise<void> {
    if (method !== "GET" && method !== "HEAD") return send(response, 405, "only GET and HEAD\n");
    switch (url?.split("?")[0]) {
      case "/metrics":
        await this.#counts?.refresh();
        return send(response, 200, await this.#registry.metrics(), this.#registry.contentType);
      case "/live":
        return send(response, 200, "live\n");
      case "/ready": {
        const reasons = this.#reasons();
        return send(
          response,
          reasons.length === 0 ? 200 : 503,
          reasons.length === 0 ? "ready\n" : reasons.map((r) => `${r}\n`).join(""),
        );
      }
      default:
        return send(response, 404, "/metrics, /live, /ready\n");
    }
  }

  /** Why the host should not get packets: the same as for its routes. */
  #reasons(): string[] {
    const { board, config, place } = this.#view;
    const down = config().hosts.find(({ name }) => name === place.host.name)?.state === "down";
    return [
      ...(this.#leaving ? ["the agent stops"] : []),
      ...(down ? ["the host is down by the config"] : []),
      ...[...board.unfit].map(([source, text]) => `${source}: ${text}`),
    ];
  }
}

function send(response: ServerResponse, status: number, text: string, type = "text/plain; charset=utf-8"): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) });
  response.end(response.req.method === "HEAD" ? undefined : text);
}
