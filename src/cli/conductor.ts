/** `hafl conductor`: a conductor without an agent. */
import { hostname } from "node:os";
import type { Command } from "commander";
import { Conductor } from "../conductor/conductor.ts";
import { wantedReader } from "../conductor/wanted.ts";
import { loadLocal } from "../control/config-split.ts";
import { Failure } from "../control/failure.ts";
import { openStore } from "../store/open-store.ts";
import type { CliEnv } from "./env.ts";
import { createLogger } from "./logger.ts";

export function register(program: Command, env: CliEnv): void {
  program
    .command("conductor")
    .description(
      "stand for election as conductor without an agent, until SIGINT or SIGTERM (agents with a store do so by themselves)",
    )
    .requiredOption("--config <file>", "the file that names the cluster and its store")
    .option("--name <name>", "what it is called in the store (default: this machine's name)")
    .action(async ({ config: file, name = hostname() }: { readonly config: string; readonly name?: string }) => {
      const loaded = loadLocal(file);
      if ("errors" in loaded) throw new Failure(loaded.errors, 2);
      if (loaded.local.store.kind === "file") {
        const text = "without one there is nothing to conduct, each host makes its tables from its own file";
        throw new Failure(`${file}: store: ${text} (write store: { kind: etcd, endpoints: [...] })`, 2);
      }
      const { store, keys } = await openStore(loaded.local, file);
      const log = createLogger(env);
      const conductor = new Conductor({ store, keys, host: name, log, readWanted: wantedReader(file, keys) });
      const told = new Promise<void>((resolve) => {
        process.once("SIGINT", resolve);
        process.once("SIGTERM", resolve);
      });
      conductor.start();
      log.info({ store: store.name, host: name }, "stands for election");
      await told;
      await conductor.stop();
      await store.close();
    });
}
