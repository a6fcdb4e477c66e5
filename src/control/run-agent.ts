/** An agent's life as a process: signals, crashes, changes of its config file, and its end. */
import type { Logger } from "pino";
import { hotBuild } from "../io/bundled.ts";
import { Agent } from "./agent.ts";
import type { AgentOptions } from "./agent-place.ts";
import { type AttendantFactory, Attendants } from "./attendant.ts";
import { FitnessBoard } from "./fitness.ts";
import { endInOrder } from "./orderly-end.ts";
import { type Takeover, takeOver } from "./takeover.ts";
import { VERSION } from "./version.ts";

/** Told to stop before there was anything to stop. */
class Told extends Error {}

function describe({ from, gapMs, dropped }: Omit<Takeover, "agent">): string {
  const gap = gapMs === null ? "which was killed meanwhile" : `gap ${gapMs} ms`;
  return `took over from pid ${from}, ${gap}, ${dropped ?? "unknown"} packets dropped by the kernel meanwhile: ready`;
}

/**
 * Runs an agent until it is told to stop (SIGINT, SIGTERM), cannot go on, or another one has taken over from it. `takeover`: in the
 * place of the one that runs now; `beside`: what is to live beside its data plane. Resolves with the exit code; throws a Failure when it
 * does not get as far as being ready, with the host's network as it was.
 */
export async function runAgent(
  options: AgentOptions,
  takeover: boolean,
  log: Logger,
  beside: readonly AttendantFactory[] = [],
): Promise<number> {
  let end: (code: number) => void = () => {};
  const ended = new Promise<number>((resolve) => {
    end = resolve;
  });
  const told = new AbortController();
  let why = "its agent was told to stop";
  let agent: Agent | null = null;
  let attendants: Attendants | null = null;
  const attended = (by: Agent): Attendants => {
    const view = by.view(new FitnessBoard());
    return new Attendants(
      beside.map((make) => make(view)),
      log,
    );
  };
  let handedOver = false;
  // What is asked for while the agent starts is done when it has started.
  let [ready, asked] = [false, false];
  const reload = (): void => {
    if (ready) agent?.reload();
    else asked = true;
  };
  const stop = (): void => {
    told.abort(new Told("it was told to stop"));
    end(0);
  };
  const died = (reason: string): void => {
    log.fatal(reason);
    why = "a worker of it died";
    end(1);
  };
  const signals: Record<string, () => void> = { SIGINT: stop, SIGTERM: stop, SIGHUP: reload };
  const crash = (error: Error): void => {
    log.fatal({ err: error }, `unexpected: ${error.message}`);
    agent?.undo();
    process.exit(1);
  };
  for (const [signal, handler] of Object.entries(signals)) process.on(signal, handler);
  process.on("uncaughtException", crash);
  const { source } = options;
  source.follow(reload, (error) =>
    log.warn({ err: error }, `${source.name} is not watched, send SIGHUP after changes: ${error.message}`),
  );
  const run = async (): Promise<number> => {
    let [more, text]: [object, string] = [{}, "ready"];
    if (takeover) {
      const { agent: taken, ...how } = await takeOver(options, log, told.signal);
      agent = taken;
      attendants = attended(agent);
      [more, text] = [{ event: "takeover", takeover: how }, describe(how)];
    } else {
      agent = Agent.open(options, log);
      attendants = attended(agent);
      await attendants.prepare();
      await agent.start(died);
    }
    ready = true;
    const { build, notBundled } = hotBuild("dataplane/worker.ts");
    if (notBundled !== null) log.warn({ build }, notBundled);
    const program = { version: VERSION, build, node: process.version };
    log.info({ ready: true, ...program, ...agent.facts, generation: agent.generation, ...more }, text);
    if (takeover) agent.settle(died);
    agent.listen(() => {
      handedOver = true;
      end(0);
    });
    if (asked) reload();
    const these = attendants;
    agent.onChange((config) => void these.changed(config));
    void these.start();
    const code = await ended;
    log.info({ code }, "stopping");
    // A worker's death leaves nobody who takes packets: there is nothing to wait for.
    if (code === 0 && !handedOver) await these.leaving();
    return code;
  };
  const outcome = await run().then(
    (code) => ({ code }),
    (error: unknown) => ({ error }),
  );
  // Nobody else assigns it any more.
  const mine = agent as Agent | null;
  const good = await endInOrder(
    [
      { what: "stop following the config", work: () => source.close() },
      ...(mine?.endSteps(why) ?? []),
      { what: "stop what lives with the agent", work: () => attendants?.stop(handedOver) },
    ],
    log,
  );
  for (const [signal, handler] of Object.entries(signals)) process.off(signal, handler);
  process.off("uncaughtException", crash);
  if ("error" in outcome && !(outcome.error instanceof Told)) throw outcome.error;
  if ("error" in outcome) log.info("told to stop before it had taken over: the other agent goes on");
  else if (good && mine?.owns) log.info("stopped, the host's network is as it was");
  return good && "code" in outcome ? outcome.code : good ? 0 : 1;
}
