/**
 * An agent with all that concerns health beside it, and a store of its own in memory: `health-agent CONFIG RUNTIME_DIR`. Prints a JSON line
 * with each change of what it says of itself and of what it finds of others.
 */

import { createLogger } from "../../src/cli/logger.ts";
import { FileSource } from "../../src/control/config-source.ts";
import { runAgent } from "../../src/control/run-agent.ts";
import { OwnChecks } from "../../src/health/own-checks.ts";
import { Prober } from "../../src/health/prober.ts";
import { SelfCheck } from "../../src/health/self-check.ts";
import { readRecord } from "../../src/store/records.ts";
import { MemoryStore } from "./memory-store.ts";

const [config, runtimeDir] = process.argv.slice(2);
const store = new MemoryStore();
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);
store.watch("/", 0, {
  changed: (changes) => {
    for (const { key, value } of changes) {
      if (value === null) continue;
      const read = readRecord("probes", key, value);
      say("record" in read ? { found: read.record.hosts } : read);
    }
  },
  lost: () => {},
});
const source = new FileSource(config!);
const options = { config: config!, source, host: undefined, uplink: undefined, instance: undefined, runtimeDir };
process.exitCode = await runAgent(options, false, createLogger(process), [
  (view) => {
    view.board.on("change", () => {
      const { problems, services } = view.board;
      say({ problems: Object.fromEntries(problems), services: Object.fromEntries(services) });
    });
    return new OwnChecks(view);
  },
  (view) => new SelfCheck(view),
  (view) => new Prober(view, store, () => false),
]);
source.close();
