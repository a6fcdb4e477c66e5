/** BIRD as far as our routes go: which protocols of ours it has, and how they are made what they should be. */
import type { BgpConfig } from "../control/config-bgp.ts";
import { BirdClient } from "./bird-client.ts";
import { type ProtocolState, type Reply, readProtocols, refused } from "./bird-reply.ts";
import type { RouteProtocol } from "./snippet.ts";

/** BIRD answers in well under a millisecond, unless it hangs. */
const PATIENCE_MS = 2_000;
/** After BIRD has refused its config, or read it in vain, it is asked to read it again so often, ms: somebody may have put it right. */
const AGAIN_MS = 5_000;

export interface BirdState {
  /** Protocols of ours by name. */
  readonly ours: ReadonlyMap<string, ProtocolState>;
  /** BGP sessions by name, and where they got to. */
  readonly sessions: ReadonlyMap<string, string>;
  /** What it said against its config when it was last asked to read it; null: nothing. */
  readonly refusal: string | null;
}

export class Bird {
  readonly bgp: BgpConfig;
  readonly #onEnd: () => void;
  #client: BirdClient | null = null;
  #refusal: { readonly text: string; readonly at: number } | null = null;
  /** What it was last asked to read its config for, and when. */
  #wanted: { readonly file: string; readonly at: number } | null = null;

  /** `onEnd` is called when a connection has ended by itself. */
  constructor(bgp: BgpConfig, onEnd: () => void) {
    this.bgp = bgp;
    this.#onEnd = onEnd;
  }

  /** Withdraws every route of ours. Rejects when BIRD cannot be reached. */
  async withdrawAll(): Promise<void> {
    await this.#do(`disable "${this.#ours}"`);
  }

  /**
   * Makes the protocols what they should be, and withdraws before anything else. `write` is called when those that are withdrawn are,
   * to bring the file up to date before BIRD may read it.
   */
  async settle(protocols: readonly RouteProtocol[], announced: ReadonlySet<string>, write: () => void): Promise<BirdState> {
    let state = await this.look();
    const up = (name: string): boolean => (state.ours.get(name)?.state ?? "down") !== "down";
    const off = [...state.ours.keys()].filter((name) => up(name) && !announced.has(name));
    if (off.length > 0 && announced.size === 0) await this.withdrawAll();
    else for (const name of off) await this.#do(`disable ${name}`);
    write();
    const read = protocols.every((p) => state.ours.get(p.name)?.description === p.description);
    const tidy = state.ours.size === protocols.length;
    if (read && tidy) this.#wanted = null;
    else if (await this.#configure(JSON.stringify(protocols))) state = await this.look();
    const on = protocols.filter(({ name }) => announced.has(name) && state.ours.has(name) && !up(name));
    for (const { name } of on) await this.#do(`enable ${name}`);
    return off.length + on.length > 0 ? await this.look() : state;
  }

  /** Rejects when BIRD cannot be reached. */
  async look(): Promise<BirdState> {
    const all = readProtocols(await this.#ask("show protocols"));
    const sessions = all
      .filter(({ kind }) => kind === "BGP")
      .map(({ name, state, info }) => [name, info.split(" ")[0] || state] as const);
    const ours = readProtocols(await this.#ask(`show protocols all "${this.#ours}"`)).map((p) => [p.name, p] as const);
    return { ours: new Map(ours), sessions: new Map(sessions), refusal: this.#refusal?.text ?? null };
  }

  close(): void {
    this.#client?.close();
    this.#client = null;
  }

  get #ours(): string {
    return `${this.bgp.protocol}_*`;
  }

  /** Has BIRD read its config, unless it has just refused to, or done so for this file in vain. Returns whether it did; the answer is in the state. */
  async #configure(file: string): Promise<boolean> {
    const now = performance.now();
    if (this.#refusal !== null && now - this.#refusal.at < AGAIN_MS) return false;
    if (this.#wanted?.file === file && now - this.#wanted.at < AGAIN_MS) return false;
    this.#wanted = { file, at: now };
    const reply = await this.#ask("configure");
    this.#refusal = refused(reply) ? { text: reply.text, at: performance.now() } : null;
    return true;
  }

  /** Gives a command that may well find nothing to do. */
  async #do(command: string): Promise<void> {
    const NO_PROTOCOL = 8003;
    const reply = await this.#ask(command);
    if (refused(reply) && reply.code !== NO_PROTOCOL) throw new Error(`BIRD refuses \`${command}\`: ${reply.text}`);
  }

  async #ask(command: string): Promise<Reply> {
    this.#client ??= await this.#connect();
    return await this.#client.ask(command, PATIENCE_MS);
  }

  async #connect(): Promise<BirdClient> {
    const { socket } = this.bgp;
    try {
      const client = await BirdClient.connect(socket, PATIENCE_MS);
      void client.ended.then((error) => {
        if (this.#client !== client) return;
        this.#client = null;
        if (error !== null) this.#onEnd();
      });
      return client;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const why =
        code === "ENOENT" || code === "ECONNREFUSED"
          ? "BIRD is not running, or bgp.socket is another one"
          : code === "EACCES"
            ? "this user may not use it (add it to the group of BIRD, mostly `bird`)"
            : message;
      throw new Error(`${socket}: ${why}`);
    }
  }
}
