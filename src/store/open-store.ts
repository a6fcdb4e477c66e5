/** The store that a host's config names. */
import type { LocalConfig } from "../control/config.ts";
import { FileStore } from "./file-store.ts";
import { type ClusterKeys, clusterKeys } from "./keys.ts";
import type { Store } from "./store.ts";

export interface OpenStore {
  readonly store: Store;
  readonly keys: ClusterKeys;
}

/** Opens it; it is connected to when it is first asked. `file` is the path of the config. */
export async function openStore({ cluster, store }: Pick<LocalConfig, "cluster" | "store">, file: string): Promise<OpenStore> {
  if (store.kind === "etcd") {
    // Its client is large; who has a file does not load it.
    const { EtcdStore } = await import("./etcd-store.ts");
    return { store: new EtcdStore(store), keys: clusterKeys(cluster, store.prefix) };
  }
  const keys = clusterKeys(cluster);
  return { store: new FileStore(file, keys.wanted), keys };
}
