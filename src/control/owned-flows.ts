/** How many flows a host owns: counted in the flow table of its agent, beside the workers that use it. */
import { statSync } from "node:fs";
import { setImmediate as others } from "node:timers/promises";
import { flowsPath, mapKept } from "../io/runtime-files.ts";
import { countFlowsOf, FLOWS_LAYOUT, type FlowTable, viewFlows } from "../shm/flow-table.ts";
import { hostClock } from "../shm/host-clock.ts";
import { readHistory } from "./history-file.ts";

/** A flow counts that has had a packet within so many seconds. */
const LATELY = 60;
/** The same where its end is waited for: UDP has none that could be seen. The kernel's connection tracking gives it as long. */
const UDP_LATELY = 30;
/** A count is good for so long, ms: it reads the whole table. */
const GOOD_MS = 2000;
/** Lines looked through before others of this thread get their turn, about a millisecond. */
const LINES = 1 << 16;

export class OwnedFlows {
  readonly #dir: string;
  readonly #host: string;
  #found: { readonly table: FlowTable; readonly id: number } | null = null;
  #last = 0;
  #lastUdp = 0;
  #goodUntil = 0;
  #counting: Promise<number> | null = null;

  /** Of the agent of that host whose files are in `dir`. */
  constructor(dir: string, host: string) {
    this.#dir = dir;
    this.#host = host;
  }

  /** The number now, or a moment ago; 0 where there are no tables yet. Throws when they cannot be read. */
  count(): Promise<number> {
    if (performance.now() < this.#goodUntil) return Promise.resolve(this.#last);
    this.#counting ??= this.#count().finally(() => {
      this.#counting = null;
    });
    return this.#counting;
  }

  /** The flows of UDP among them that had a packet a shorter while ago. */
  async countUdp(): Promise<number> {
    await this.count();
    return this.#lastUdp;
  }

  async #count(): Promise<number> {
    const own = this.#find();
    let [flows, udp] = [0, 0];
    const now = Math.trunc(hostClock() / 1000);
    for (let from: number | null | undefined; own !== null && from !== null; ) {
      const part = countFlowsOf(own.table, own.id, now - LATELY, now - UDP_LATELY, from, LINES);
      flows += part.flows;
      udp += part.udp;
      from = part.next;
      await others();
    }
    this.#last = flows;
    this.#lastUdp = udp;
    this.#goodUntil = performance.now() + GOOD_MS;
    return flows;
  }

  /** The table and the number that the host has in it: both stay as long as the agent does. */
  #find(): { readonly table: FlowTable; readonly id: number } | null {
    if (this.#found !== null) return this.#found;
    const id = readHistory(this.#dir).hostIds[this.#host];
    if (id === undefined) return null;
    const path = flowsPath(this.#dir);
    const table = viewFlows(mapKept(path, statSync(path).size, FLOWS_LAYOUT), 0);
    this.#found = { table, id };
    return this.#found;
  }
}
