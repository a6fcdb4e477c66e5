/** A lease of etcd, kept alive; held only as long as its holder can be sure of it. */
import type { Etcd3 } from "etcd3";
import type { EtcdClient } from "./etcd-client.ts";
import type { Lease } from "./store.ts";

/** Kept alive so often in its time. */
const BEATS = 4;

async function beat(client: Etcd3, id: string, ms: number): Promise<boolean> {
  const stream = await client.leaseClient.leaseKeepAlive();
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<boolean>((resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`lease: no answer within ${ms} ms`)), ms);
      stream.on("data", ({ TTL }) => resolve(Number(TTL) > 0));
      stream.on("error", reject);
      stream.on("end", () => reject(new Error("lease: the stream has ended")));
      stream.write({ ID: id });
    });
  } finally {
    clearTimeout(timer);
    stream.on("error", () => {});
    // Not only our end of it: of a server that hangs the other one would keep the connection.
    stream.cancel();
  }
}

/** Takes a lease and keeps it. Rejects as EtcdClient's call does. */
export async function takeLease(etcd: EtcdClient, seconds: number): Promise<Lease> {
  let asked = performance.now();
  const { ID: id } = await etcd.call((client) => {
    asked = performance.now();
    return client.leaseClient.leaseGrant({ TTL: seconds });
  });
  let over = false;
  let timer: NodeJS.Timeout | undefined;
  // From when the server was last asked, not from when it answered: it counts from some time in between.
  let heldUntil = asked + seconds * 1000;
  const { promise: lost, resolve } = withResolvers<string>();
  const end = (reason: string): void => {
    if (over) return;
    over = true;
    clearTimeout(timer);
    forget();
    resolve(reason);
  };
  // It ends by itself, at the server as well: nobody keeps it any more.
  const forget = etcd.onClose(() => end("the store is closed"));
  const keep = async (): Promise<void> => {
    const begun = performance.now();
    const left = heldUntil - begun;
    if (left <= 0) return end(`not heard of for ${seconds} s`);
    const expiry = setTimeout(() => end(`not heard of for ${seconds} s`), left);
    try {
      const alive = await etcd.call((client) => beat(client, id, Math.min(1_500, left)));
      if (!alive) end("has expired");
      heldUntil = begun + seconds * 1000;
    } catch {
      // Another beat comes while there is time.
    }
    clearTimeout(expiry);
    if (!over) timer = setTimeout(keep, Math.max(50, Math.min((seconds * 1000) / BEATS, heldUntil - performance.now())));
  };
  timer = setTimeout(keep, (seconds * 1000) / BEATS);
  return {
    id,
    lost,
    async revoke(): Promise<void> {
      end("given up");
      await etcd
        .call((client) => client.leaseClient.leaseRevoke({ ID: id }))
        .catch((error: Error) => {
          // It was gone already.
          if (!/lease not found/.test(error.message)) throw error;
        });
    },
  };
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
