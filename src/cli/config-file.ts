/** Reading the configuration a command names: all of it, also where the file has only this host's own parts and names a store for the rest. */
import type { Command } from "commander";
import { type Config, type ConfigResult, loadConfig } from "../control/config.ts";
import { loadLocal, mergeConfig } from "../control/config-split.ts";
import { openStore } from "../store/open-store.ts";
import { readRecord } from "../store/records.ts";

/** Where the wanted parts came from. */
export type WholeResult = ConfigResult & { readonly from: string | null; readonly exitCode: 1 | 2 };

/**
 * Reads a config: from the file, or from the file and the store that it names. `from` names what is wanted in the store; `exitCode` is for
 * errors: 1 when the store cannot be asked, or has nothing.
 */
export async function loadWhole(file: string): Promise<WholeResult> {
  const loaded = loadLocal(file);
  if ("errors" in loaded) {
    // Of a file that is to have all parts, all that is wrong.
    const whole = loadConfig(file);
    return { errors: "errors" in whole ? whole.errors : loaded.errors, from: null, exitCode: 2 };
  }
  if (loaded.local.store.kind === "file") return { ...loadConfig(file), from: null, exitCode: 2 };
  const { store, keys } = await openStore(loaded.local, file);
  try {
    const { entries } = await store.read(keys.wanted);
    const entry = entries.find(({ key }) => key === keys.wanted);
    if (entry === undefined)
      return { errors: [`${keys.wanted}: there is nothing (put it there with \`hafl apply FILE\`)`], from: null, exitCode: 1 };
    const read = readRecord("wanted", keys.wanted, entry.value);
    if ("error" in read) return { errors: [read.error], from: null, exitCode: 2 };
    const { change, config } = read.record;
    const from = `change ${change} in ${store.name}`;
    return { ...mergeConfig({ text: loaded.text, name: file }, { text: config, name: keys.wanted }), from, exitCode: 2 };
  } catch (error) {
    const { message } = error as Error;
    return { errors: [`store ${store.name}: ${message} (see \`store\` in ${file})`], from: null, exitCode: 1 };
  } finally {
    await store.close();
  }
}

/** The configuration that a file names; prints every error and ends the command when there is one. */
export async function loadOrExit(file: string, command: Command): Promise<Config> {
  const result = await loadWhole(file);
  if ("config" in result) return result.config;
  return command.error(result.errors.join("\n"), { exitCode: result.exitCode });
}
