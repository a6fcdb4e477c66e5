/** A host that is asked about packets, as if each were the only one it ever got: no answer depends on those before. */
import { type Chain, createChain, setChain, setKnownChain } from "../dataplane/chain.ts";
import type { DropRules } from "../dataplane/drop.ts";
import { bucketFor } from "../dataplane/flow.ts";
import type { SocketQuestions } from "../dataplane/flow-memory.ts";
import type { Parsed } from "../dataplane/parsed.ts";
import { setQuicChain } from "../dataplane/quic.ts";
import { plainQuestions } from "../dataplane/socket-questions.ts";
import { BUCKETS_BYTES } from "../shm/bucket-layout.ts";
import { type FlowTable, findFlow, flowTableBytes, rememberFlow, touchFlow, viewFlows } from "../shm/flow-table.ts";
import type { Tables } from "../shm/forwarding-table.ts";
import { RULE_DROPPED, RULE_PASSED, RULE_STRIDE, type RuleSpec } from "../shm/rules.ts";
import { SYNS_BYTES } from "../shm/syn-memory.ts";
import type { VerdictName } from "../shm/verdict.ts";
import { SYN } from "../wire/tcp.ts";
import { UDP } from "../wire/udp.ts";
import { OfflineHost } from "./offline-host.ts";

export interface AskedOptions {
  readonly tables: Tables;
  /** When the packets come, ms on the clock of the flow table and the other regions. */
  readonly clock: number;
  readonly directorFlows: boolean;
  readonly rules: readonly RuleSpec[];
  /** The token buckets of rules, and the SYNs of the last minute, as regions have them; null: nothing has come yet. */
  readonly limits: ArrayBuffer | null;
  readonly syns: Int32Array | null;
  /** The host's kernel; null when it cannot be asked. */
  readonly sockets: SocketQuestions | null;
}

/** What a flow table says of a flow, and the hash that it is found by. */
export interface KnownFlow {
  readonly hash: number;
  readonly hash2: number;
  readonly host: number;
  readonly certain: boolean;
  readonly halfOpen: boolean;
  /** Seconds since the epoch. */
  readonly seen: number;
}

export interface Answer {
  readonly verdict: VerdictName;
  /** What leaves the host. */
  readonly left: readonly Uint8Array[];
  /** What the packet was read as. The next question writes it anew. */
  readonly parsed: Parsed;
  /** The rule that decided on the packet, and whether it let it pass; null when none matches or none was asked. */
  readonly rule: { readonly spec: RuleSpec; readonly passes: boolean } | null;
  /** Whether the kernel has a socket for the flow; null when that did not matter. */
  readonly socket: "found" | "none" | "not asked" | null;
}

/** The least that a flow table can be made for. */
const FEW_FLOWS = 8;

export class AskedHost {
  readonly #host: OfflineHost;
  readonly #options: AskedOptions;
  /** What the host knows: of all flows only the one in question. */
  readonly #flows: FlowTable = viewFlows(new ArrayBuffer(flowTableBytes(FEW_FLOWS)), FEW_FLOWS);
  readonly #syns = new Int32Array(SYNS_BYTES / 4);
  readonly #limits = new ArrayBuffer(BUCKETS_BYTES);
  readonly #drop: DropRules | null;
  readonly #chain: Chain = createChain();
  #socket: Answer["socket"] = null;

  constructor(options: AskedOptions) {
    this.#options = options;
    this.#resetSyns();
    this.#resetLimits();
    this.#host = new OfflineHost(options.tables, "director", {
      sockets: this.#watched(options.sockets),
      directorFlows: options.directorFlows,
      // Rules that the kernel has taken over come first and decide as they do here; it only spares user space the work.
      drop: options.rules.map((rule) => ({ ...rule, inKernel: false })),
      flows: this.#flows,
      syns: this.#syns,
      limits: this.#limits,
    });
    this.#drop = this.#host.context.drop;
  }

  /** Has a packet come from the router, through the drop rules if `rules`; `known` is what the flow table says of its flow. */
  ask(packet: Uint8Array, known: KnownFlow | null, rules: boolean): Answer {
    const { context, ruleCounts, memory } = this.#host;
    this.#setFlow(known);
    this.#socket = null;
    context.drop = rules ? this.#drop : null;
    if (context.drop !== null) ruleCounts.fill(0);
    this.#host.now = this.#options.clock;
    const left = this.#host.take(packet);
    const rule = context.drop === null ? null : this.#decided();
    if (rule?.spec.limit) this.#resetLimits();
    if ((context.parsed.tcpFlags & SYN) !== 0) this.#resetSyns();
    if (this.#socket !== null) memory.answers.fill(0);
    return { verdict: this.#host.lastVerdict(), left, parsed: context.parsed, rule, socket: this.#socket };
  }

  /**
   * The bucket of the packet asked about last, which is for `service`; the host it goes to first (NO_HOST: there is none);
   * and whether that is the only one that may own its flow.
   */
  steering(service: number, known: KnownFlow | null): { bucket: number; first: number; only: boolean; quic: boolean } {
    const { context, memory, tables } = this.#host;
    const p = context.parsed;
    const chain = this.#chain;
    this.#setFlow(known);
    const bucket = bucketFor(tables, service, p);
    const quic = p.protocol === UDP && setQuicChain(chain, context.bytes, tables, service, p);
    const only = quic || setKnownChain(chain, memory, tables, p);
    if (!only) setChain(chain, memory, tables, service, bucket, p);
    return { bucket, first: chain.first, only, quic };
  }

  #setFlow(known: KnownFlow | null): void {
    const flows = this.#flows;
    flows.words.fill(0);
    // A new second, with all of its budget.
    flows.second = 0;
    if (known === null) return;
    const { hash, hash2, host, certain, seen } = known;
    rememberFlow(flows, hash, hash2, host, certain, seen);
    if (!known.halfOpen) touchFlow(flows, findFlow(flows, hash, hash2, seen), seen);
  }

  #watched(sockets: SocketQuestions | null): SocketQuestions {
    const kernel = sockets ?? plainQuestions(() => false);
    return {
      add: (p) => kernel.add(p),
      ask: () => kernel.ask(),
      found: (i) => {
        const found = kernel.found(i);
        this.#socket = sockets === null ? "not asked" : found ? "found" : "none";
        return found;
      },
      clear: () => kernel.clear(),
    };
  }

  #decided(): Answer["rule"] {
    const counts = this.#host.ruleCounts;
    const counted = (spec: RuleSpec, word: number): boolean => counts[spec.slot * RULE_STRIDE + word]! > 0;
    const spec = this.#options.rules.find((rule) => counted(rule, RULE_DROPPED) || counted(rule, RULE_PASSED));
    return spec === undefined ? null : { spec, passes: counted(spec, RULE_PASSED) };
  }

  #resetSyns(): void {
    if (this.#options.syns === null) this.#syns.fill(0);
    else this.#syns.set(this.#options.syns);
  }

  #resetLimits(): void {
    const { limits } = this.#options;
    const bytes = new Uint8Array(this.#limits);
    if (limits === null) bytes.fill(0);
    else bytes.set(new Uint8Array(limits));
  }
}
