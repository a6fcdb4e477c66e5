/** Where the agent of this host has its config from, as its own file says. */
import { join } from "node:path";
import type { Logger } from "pino";
import { loadConfig } from "../control/config.ts";
import { type ConfigSource, FileSource } from "../control/config-source.ts";
import { loadLocal } from "../control/config-split.ts";
import { Failure } from "../control/failure.ts";
import { Follower } from "../store/follower.ts";
import { type OpenStore, openStore } from "../store/open-store.ts";

/** State that is to outlive a reboot. */
const STATE_ROOT = "/var/lib/hafl";

export interface Following extends OpenStore {
  readonly follower: Follower;
}

export interface Opened {
  readonly source: ConfigSource;
  /** With a store other than the file. */
  readonly following: Following | null;
  close(): Promise<void>;
}

/**
 * Opens the source that a config file names. `stateDir` is where the last good state of a store is kept; by default below
 * /var/lib/hafl, or in the runtime directory where one is named. Rejects with a Failure when nothing can be had from it.
 */
export async function openSource(
  file: string,
  { stateDir, runtimeDir }: { readonly stateDir?: string | undefined; readonly runtimeDir?: string | undefined },
  log: Logger,
): Promise<Opened> {
  // Watched from before it is read: no change is missed.
  const watched = new FileSource(file);
  const loaded = loadLocal(file);
  if ("errors" in loaded) {
    watched.close();
    // Of a file that is to have all parts, all that is wrong; of one that is not, what has no place in it.
    const whole = loadConfig(file);
    throw new Failure("errors" in whole ? whole.errors : loaded.errors, 2);
  }
  if (loaded.local.store.kind === "file") {
    return { source: watched, following: null, close: async () => watched.close() };
  }
  watched.close();
  const { local } = loaded;
  const opened = await openStore(local, file);
  const dir = stateDir ?? runtimeDir ?? join(STATE_ROOT, local.cluster);
  try {
    const follower = await Follower.open({ ...opened, cluster: local.cluster, file, lastGood: join(dir, "last-good.json") }, log);
    const close = async (): Promise<void> => {
      follower.close();
      await opened.store.close();
    };
    return { source: follower, following: { ...opened, follower }, close };
  } catch (error) {
    await opened.store.close();
    throw error;
  }
}
