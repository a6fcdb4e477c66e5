/**
 * The connection to an etcd cluster: one member at a time, another one when it does not answer.
 *
 * A connection whose other end is silent is thrown away, with all that hangs on it: TCP would try again on it at growing intervals,
 * long after the network is whole.
 */
import { readFileSync } from "node:fs";
import { connect as connectTo } from "node:net";
import { Etcd3, EtcdAuthenticationFailedError, EtcdPermissionDeniedError, GRPCInvalidArgumentError, type IOptions } from "etcd3";
import { StoreAway, StoreRefused } from "./store.ts";

export interface EtcdOptions {
  /** Like http://10.0.0.1:2379; the first is asked first. */
  readonly endpoints: readonly string[];
  /** Paths of PEM files; null: the system's authorities, or no certificate of our own. */
  readonly tls: { readonly ca: string | null; readonly cert: string | null; readonly key: string | null };
  readonly user: string | null;
  /** Path of a file with the password. */
  readonly passwordFile: string | null;
}

/** How long a member may take to answer, ms, and how long all of them together. */
const MEMBER_MS = 1_500;
const ALL_MS = 5_000;
/** The same for who is about to end. */
const HURRY_MS = 2_500;

/** cockatiel's interface without its doing anything: what is tried again, and where, is decided here. */
const NOTHING = {
  execute: async <T>(work: (context: { signal: AbortSignal }) => T | PromiseLike<T>) => await work({ signal: NEVER }),
} as unknown as NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;
const NEVER = new AbortController().signal;

/** The server has answered and means it. */
const isRefusal = (error: unknown): boolean =>
  error instanceof EtcdAuthenticationFailedError ||
  error instanceof EtcdPermissionDeniedError ||
  error instanceof GRPCInvalidArgumentError ||
  /too large|larger than max|lease not found|user name is empty|role name not found|duplicate key|too many operations|database space exceeded/.test(
    (error as Error).message,
  );

function connect({ tls, user, passwordFile }: EtcdOptions, endpoint: string): Etcd3 {
  const file = (path: string | null): Buffer | undefined => (path === null ? undefined : readFileSync(path));
  const ca = file(tls.ca);
  const options: IOptions = {
    hosts: endpoint,
    defaultCallOptions: ({ isStream }) => (isStream ? {} : { deadline: Date.now() + MEMBER_MS }),
    faultHandling: { host: () => NOTHING, global: NOTHING },
    // Connections are not shared with those of another client of this process: closing them closes them.
    grpcOptions: { "grpc.use_local_subchannel_pool": 1, "grpc.max_receive_message_length": 64 << 20 },
  };
  if (ca !== undefined) {
    const [privateKey, certChain] = [file(tls.key), file(tls.cert)];
    options.credentials = { rootCertificate: ca, ...(privateKey && certChain ? { privateKey, certChain } : {}) };
  }
  if (user !== null) {
    const password = passwordFile === null ? "" : readFileSync(passwordFile, "utf8").replace(/\r?\n$/, "");
    options.auth = { username: user, password };
  }
  return new Etcd3(options);
}

/**
 * Resolves when a member takes connections. One that grpc-js has begun to open it does not let go of: where nobody answers, it would keep
 * a process for the minutes that the kernel tries.
 */
function reached(endpoint: string): Promise<void> {
  const [, host, port] = /^https?:\/\/\[?(.*?)\]?:(\d+)$/.exec(endpoint)!;
  return new Promise((resolve, reject) => {
    const socket = connectTo({ host: host!, port: Number(port) }, () => {
      socket.destroy();
      resolve();
    });
    socket.setTimeout(MEMBER_MS, () => socket.destroy(new Error(`no connection within ${MEMBER_MS} ms`)));
    socket.on("error", reject);
  });
}

export class EtcdClient {
  readonly #options: EtcdOptions;
  #member = 0;
  #current: Etcd3 | null = null;
  #reached: Promise<void> | null = null;
  #closed = false;
  #hurried = false;
  /** For each call under way, what has it hurry. */
  readonly #underWay = new Set<() => void>();
  readonly #dropped = new Set<(reason: string) => void>();
  readonly #closing = new Set<() => void>();

  constructor(options: EtcdOptions) {
    this.#options = options;
  }

  get #endpoint(): string {
    return this.#options.endpoints[this.#member % this.#options.endpoints.length]!;
  }

  /** The connection to the current member. Throws a StoreRefused when a file that it takes cannot be read. */
  get current(): Etcd3 {
    if (this.#closed) throw new StoreAway("the store is closed");
    try {
      this.#current ??= connect(this.#options, this.#endpoint);
    } catch (error) {
      throw new StoreRefused((error as Error).message);
    }
    return this.#current;
  }

  /** Has `drop` called once when the current connection is thrown away. Returns what takes that back. */
  onDrop(drop: (reason: string) => void): () => void {
    this.#dropped.add(drop);
    return () => void this.#dropped.delete(drop);
  }

  /** Has `end` called when the client is closed. Returns what takes that back. */
  onClose(end: () => void): () => void {
    this.#closing.add(end);
    return () => void this.#closing.delete(end);
  }

  /** Throws a connection away, if it still is the current one; the next member's turn. */
  drop(client: Etcd3, reason: string): void {
    if (client !== this.#current) return;
    const told = `${this.#endpoint}: ${reason}`;
    this.#current = null;
    this.#reached = null;
    this.#member++;
    client.close();
    const dropped = [...this.#dropped];
    this.#dropped.clear();
    for (const tell of dropped) tell(told);
  }

  /**
   * Makes a call; at the next member when one does not answer. `again`: the call before may have been carried out. Rejects with a
   * StoreAway when none has answered, with a StoreRefused when one has refused.
   */
  call<T>(work: (client: Etcd3, again: boolean) => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let timer: NodeJS.Timeout | undefined;
      const late = (): void => {
        reject(new StoreAway(`${this.#endpoint}: no answer within ${HURRY_MS} ms`));
        this.close();
      };
      const hurry = (): void => {
        timer = setTimeout(late, HURRY_MS);
      };
      this.#underWay.add(hurry);
      if (this.#hurried) hurry();
      const over = (): void => {
        clearTimeout(timer);
        this.#underWay.delete(hurry);
      };
      this.#call(work).finally(over).then(resolve, reject);
    });
  }

  async #call<T>(work: (client: Etcd3, again: boolean) => Promise<T>): Promise<T> {
    const until = performance.now() + ALL_MS;
    for (let attempt = 0; ; attempt++) {
      const client = this.current;
      const endpoint = this.#endpoint;
      try {
        this.#reached ??= reached(endpoint);
        await this.#reached;
        return await inTime(work(client, attempt > 0), MEMBER_MS * 2);
      } catch (error) {
        if (error instanceof StoreRefused) throw error;
        const { message } = error as Error;
        if (isRefusal(error)) throw new StoreRefused(`${endpoint}: ${message}`);
        this.drop(client, message);
        // Members that refuse connections are asked once each, and those that are electing a leader a little later again.
        if (this.#closed || performance.now() > until) throw new StoreAway(`${endpoint}: ${message}`);
        if (attempt + 1 >= this.#options.endpoints.length) {
          if (attempt + 1 >= 2 * this.#options.endpoints.length) throw new StoreAway(`${endpoint}: ${message}`);
          await new Promise((resolve) => setTimeout(resolve, 200));
        }
      }
    }
  }

  /** From now on, when a call has no answer for 2.5 s, those under way included, the client is closed: no other call waits in vain. */
  hurry(): void {
    if (this.#hurried) return;
    this.#hurried = true;
    for (const hurry of this.#underWay) hurry();
  }

  close(): void {
    if (this.#closed) return;
    const client = this.#current;
    if (client !== null) this.drop(client, "closed");
    this.#closed = true;
    for (const end of this.#closing) end();
  }
}

/** A call has a deadline of its own; this one is for what hangs before it is made. */
function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
