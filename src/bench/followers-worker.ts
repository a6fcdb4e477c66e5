/** Some of the subscribers of followers.ts: each with a connection of its own, following the store with an agent's code. */
import pino from "pino";
import { hostClock } from "../shm/host-clock.ts";
import { EtcdStore } from "../store/etcd-store.ts";
import { Follower, usableMerge } from "../store/follower.ts";
import { clusterKeys } from "../store/keys.ts";

/** What it is told on its command line. */
interface Order {
  readonly endpoint: string;
  readonly cluster: string;
  readonly count: number;
  /** The file of a host. */
  readonly file: string;
}

/** What it tells, once for each change; `loaded`: how long it took to make a config of it, ms. */
export type Told = { readonly ready: true } | { readonly seen: readonly number[]; readonly loaded: number };

const ATTEMPTS = 10;

const tell = (message: Told): void => void process.send!(message);

const { endpoint, cluster, count, file } = JSON.parse(process.argv[2]!) as Order;
const log = pino({ level: "silent" });
/**
 * Making a config of what is wanted is work that each host does on processors of its own; here it is done once for all subscribers of the
 * process, and its time is told apart.
 */
let made: { readonly text: string; readonly result: ReturnType<typeof usableMerge> } | null = null;
let loaded = 0;
const merge: typeof usableMerge = (own, wanted) => {
  if (made?.text !== wanted.text) {
    const begun = hostClock();
    made = { text: wanted.text, result: usableMerge(own, wanted) };
    loaded = hostClock() - begun;
  }
  return made.result;
};

/** By the clock that is shared, when the followers came to know of the change that is awaited. */
let seen: number[] = [];

/** Opens one; while others do the same, and all that are open follow, the store may not answer in time. */
async function open(): Promise<Follower> {
  for (let attempt = 1; ; attempt++) {
    const store = new EtcdStore({
      endpoints: [endpoint],
      tls: { ca: null, cert: null, key: null },
      user: null,
      passwordFile: null,
    });
    try {
      return await Follower.open({ store, keys: clusterKeys(cluster), cluster, file, lastGood: null, merge }, log);
    } catch (error) {
      await store.close();
      if (attempt === ATTEMPTS) throw error;
    }
  }
}

for (let i = 0; i < count; i++) {
  const follower = await open();
  follower.load();
  follower.taken([]);
  follower.follow(() => {
    seen.push(hostClock());
    if (seen.length < count) return;
    const told = seen;
    seen = [];
    tell({ seen: told, loaded });
  });
}
tell({ ready: true });
process.on("disconnect", () => process.exit());
