/** A watch of etcd: changes below a prefix from a revision on, until something makes it doubtful that all of them come. */
import { type IWatchResponse, Range } from "etcd3";
import type { EtcdClient } from "./etcd-client.ts";
import type { Change, Closable, WatchHandlers } from "./store.ts";

/** How long a member may take until it has begun to watch, ms. */
const BEGIN_MS = 3_000;

function changesIn({ events }: IWatchResponse): Change[] {
  return events.map(({ type, kv }) => {
    const deleted = String(type).toUpperCase() === "DELETE";
    return { key: kv.key.toString(), value: deleted ? null : kv.value.toString(), revision: Number(kv.mod_revision) };
  });
}

/** Watches `prefix` for changes after `revision`, as Store's watch does. Changes of one revision come together. */
export function watchPrefix(etcd: EtcdClient, prefix: string, revision: number, handlers: WatchHandlers): Closable {
  let over = false;
  let cancel: () => void = () => {};
  const finish = (reason: string | null): void => {
    if (over) return;
    over = true;
    clearTimeout(begin);
    forget();
    cancel();
    // Never from within the call that began the watch.
    if (reason !== null) queueMicrotask(() => handlers.lost(reason));
  };
  const forget = etcd.onDrop((reason) => finish(reason));
  const begin = setTimeout(() => finish(`no watch within ${BEGIN_MS} ms`), BEGIN_MS);
  const open = async (): Promise<void> => {
    const stream = await etcd.current.watchClient.watch();
    cancel = () => {
      stream.on("error", () => {});
      stream.cancel();
    };
    if (over) return cancel();
    stream.on("data", (response: IWatchResponse) => {
      if (over) return;
      if (response.canceled) {
        const compacted = Number(response.compact_revision) > 0;
        finish(compacted ? `changes before revision ${response.compact_revision} are compacted` : response.cancel_reason);
        return;
      }
      if (response.created) clearTimeout(begin);
      if (response.events.length > 0) handlers.changed(changesIn(response), Number(response.header.revision));
    });
    stream.on("error", (error: Error) => finish(error.message));
    stream.on("end", () => finish("the server has ended the watch"));
    const { start, end } = Range.prefix(prefix);
    stream.write({ create_request: { key: start, range_end: end, start_revision: revision + 1 } });
  };
  open().catch((error: Error) => finish(error.message));
  return { close: () => finish(null) };
}
