/**
 * A client of the lab: one process per namespace, one flow per request.
 *
 *   node client.js '[JOB, ...]'
 *
 * Jobs (flows.ts) run at the same time. Each result is a JSON line on standard output. When standard input ends, nothing
 * new is begun and the process ends with its last request: so it never outlives whoever asked.
 */
import { createSocket } from "node:dgram";
import { get } from "node:http";
import { fileURLToPath } from "node:url";
import type { FlowResult, LoadJob } from "./flows.ts";

/** GET / on a connection of its own. Resolves with the body; rejects when anything goes wrong. */
function httpRequest(job: LoadJob, port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const { target: host, targetPort, source: localAddress, timeoutMs } = job;
    const signal = AbortSignal.timeout(timeoutMs);
    get({ host, port: targetPort, localAddress, localPort: port, path: "/", agent: false, signal }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (text: string) => {
        body += text;
      });
      response.on("error", reject);
      response.on("end", () =>
        response.statusCode === 200 ? resolve(body) : reject(new Error(`status ${response.statusCode}`)),
      );
    }).on("error", reject);
  });
}

/** One datagram from a socket of its own. No second try: a lab loses nothing. */
function udpRequest(job: LoadJob, port: number, payload: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(job.family === 6 ? "udp6" : "udp4");
    const finish = (act: () => void): void => {
      clearTimeout(timer);
      socket.close();
      act();
    };
    const timer = setTimeout(() => finish(() => reject(new Error("no reply"))), job.timeoutMs);
    socket.on("error", (error) => finish(() => reject(error)));
    socket.on("message", (reply) => {
      const [host = "", echoed] = reply.toString().split(" ");
      finish(() => (echoed === payload ? resolve(host) : reject(new Error(`another payload came back: ${reply.toString()}`))));
    });
    socket.bind(port, job.source, () => {
      socket.connect(job.targetPort, job.target, () => socket.send(payload));
    });
  });
}

async function request(job: LoadJob, index: number): Promise<FlowResult> {
  const sourcePort = job.firstPort + (index % job.ports);
  const startedAt = Date.now();
  const begun = performance.now();
  let host: string | null = null;
  let error: string | null = null;
  try {
    const reply = job.protocol === "tcp" ? httpRequest(job, sourcePort) : udpRequest(job, sourcePort, `${sourcePort}-${index}`);
    host = (await reply).trim();
  } catch (thrown) {
    error = (thrown as Error).name === "AbortError" ? "no reply" : (thrown as Error).message;
  }
  const { protocol, source, target, targetPort } = job;
  return { protocol, source, sourcePort, target, targetPort, host, error, startedAt, took: performance.now() - begun };
}

/** Runs a job, `report` is called with each result. */
async function run(job: LoadJob, stopped: () => boolean, report: (result: FlowResult) => void): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (!stopped() && (job.count === null || next < job.count)) report(await request(job, next++));
  };
  await Promise.all(Array.from({ length: job.concurrency }, lane));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const jobs = JSON.parse(process.argv[2]!) as LoadJob[];
  let stopping = false;
  process.stdin.on("end", () => {
    stopping = true;
  });
  process.stdin.on("error", () => {
    stopping = true;
  });
  process.stdin.resume();
  // Whoever asked is gone: there is nobody to report to.
  process.stdout.on("error", () => process.exit(1));
  await Promise.all(
    jobs.map((job) =>
      run(
        job,
        () => stopping,
        (result) => process.stdout.write(`${JSON.stringify(result)}\n`),
      ),
    ),
  );
  process.stdin.destroy();
}
