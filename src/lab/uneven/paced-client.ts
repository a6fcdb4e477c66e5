/**
 * A client that begins requests at a steady rate, whether those before were answered or not: what is too much for a host shows.
 *
 *   node paced-client.js '{"targets": [ADDRESS, ...], "port": 80, "perSecond": 100, "timeoutMs": 10000}'
 *
 * Every second a JSON line on standard output: what came to an end in it. Ends, with its last request, when standard input ends.
 */
import { connect } from "node:net";
import { fileURLToPath } from "node:url";

export interface PacedJob {
  /** Asked in turns. */
  readonly targets: readonly string[];
  readonly port: number;
  readonly perSecond: number;
  /** A request without an answer for so long has failed. */
  readonly timeoutMs: number;
}

export interface PacedReport {
  readonly answered: number;
  readonly failed: number;
}

/** One connection. Whether it brought an answer, and ended in order. */
function request(host: string, port: number, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    let bytes = 0;
    const socket = connect({ host, port });
    const timer = setTimeout(() => socket.destroy(), timeoutMs);
    let isWhole = false;
    socket.on("data", (chunk) => {
      bytes += chunk.length;
    });
    socket.on("end", () => {
      isWhole = bytes > 0;
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      clearTimeout(timer);
      resolve(isWhole);
    });
  });
}

const TICK_MS = 5;

/** Asks until `signal` is raised; `report` is called every second and at the end. Resolves when all is answered or has failed. */
export async function runPaced(job: PacedJob, signal: AbortSignal, report: (done: PacedReport) => void): Promise<void> {
  const { targets, port, perSecond, timeoutMs } = job;
  const open = new Set<Promise<void>>();
  let [answered, failed, count] = [0, 0, 0];
  const begun = performance.now();
  const tell = (): void => {
    report({ answered, failed });
    [answered, failed] = [0, 0];
  };
  const begin = (): void => {
    const one = request(targets[count++ % targets.length]!, port, timeoutMs).then((fine) => {
      if (fine) answered++;
      else failed++;
      open.delete(one);
    });
    open.add(one);
  };
  const pace = setInterval(() => {
    const due = ((performance.now() - begun) * perSecond) / 1000;
    while (count < due) begin();
  }, TICK_MS);
  const telling = setInterval(tell, 1000);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  clearInterval(pace);
  while (open.size > 0) await Promise.all(open);
  clearInterval(telling);
  tell();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const told = new AbortController();
  for (const event of ["end", "error"]) process.stdin.on(event, () => told.abort());
  process.stdin.resume();
  // Whoever asked is gone: there is nobody to report to.
  process.stdout.on("error", () => process.exit(1));
  await runPaced(JSON.parse(process.argv[2]!) as PacedJob, told.signal, (done) =>
    process.stdout.write(`${JSON.stringify(done)}\n`),
  );
  process.stdin.destroy();
}
