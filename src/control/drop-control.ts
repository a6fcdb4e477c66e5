/** The control plane's part in drop rules: what workers and kernel are told, and what the kernel has dropped. */
import { native } from "../io/native.ts";
import type { LinkType } from "../io/packet-io.ts";
import { limitsPath, readRules, ruleCountersPath, samplesPath, writeRules } from "../io/rule-files.ts";
import { mapKept, mapRegion } from "../io/runtime-files.ts";
import { vipFilter } from "../io/vip-filter.ts";
import { BUCKETS_BYTES, BUCKETS_LAYOUT } from "../shm/bucket-layout.ts";
import {
  assignSlots,
  RULE_COUNTERS_LAYOUT,
  RULE_DROPPED,
  RULE_DROPPED_BYTES,
  RULE_STRIDE,
  ruleBlock,
  ruleCountersBytes,
} from "../shm/rules.ts";
import { SAMPLES_LAYOUT, samplesBytes } from "../shm/sample-ring.ts";
import type { Prefix } from "../wire/address.ts";
import { BYTE_UNITS, type CompiledRule, ruleChoice, rulesForKernel, uplinkFilter } from "./drop-rules.ts";
import { Failure } from "./failure.ts";

export interface DropPlace {
  readonly runtimeDir: string;
  readonly mode: "af-packet" | "tun";
  readonly uplink: string;
  readonly link: LinkType;
  readonly workers: number;
}

/** What another process needs to count on. */
export interface Counting {
  /** Rules that the filter in force takes over, from the first on. */
  readonly inKernel: number;
  /** The program that picks the counting socket; null: nothing is counted. */
  readonly choice: Uint8Array | null;
  /** The counting sockets, the first of which counts nothing, and the slots of the others: in a row, those of one rule. */
  readonly counting: readonly number[];
  readonly slots: readonly number[];
}

/** How often the kernel is asked what it dropped, ms; its counters are of 32 bits. */
const COUNT_MS = 500;

export class DropControl {
  readonly #place: DropPlace;
  readonly #kernelCounts: Float64Array;
  #rules: readonly CompiledRule[] = [];
  #inKernel = 0;
  #slots: readonly string[];
  #counting: readonly number[] = [];
  #countedSlots: readonly number[] = [];
  #choice: Uint8Array | null = null;
  #timer: NodeJS.Timeout | undefined;

  private constructor(place: DropPlace, map: typeof mapKept) {
    this.#place = place;
    const { runtimeDir, workers } = place;
    const counters = map(ruleCountersPath(runtimeDir), ruleCountersBytes(workers), RULE_COUNTERS_LAYOUT);
    map(samplesPath(runtimeDir), samplesBytes(workers), SAMPLES_LAYOUT);
    map(limitsPath(runtimeDir), BUCKETS_BYTES, BUCKETS_LAYOUT);
    this.#kernelCounts = ruleBlock(counters, workers);
    this.#slots = readRules(runtimeDir).slots;
  }

  /** Makes the shared files; workers must not have started. Throws when one cannot be mapped. */
  static open(place: DropPlace): DropControl {
    return new DropControl(place, (path, bytes, layout) => mapRegion(path, bytes, layout).buffer);
  }

  /**
   * Takes the files of a running agent as they are, and its sockets, which are this one's to close from then on; `rules` are those
   * in force. Counts from resume() on. Throws when a file is not of this version.
   */
  static adopt(place: DropPlace, rules: readonly CompiledRule[], { inKernel, choice, counting, slots }: Counting): DropControl {
    const drops = new DropControl(place, mapKept);
    drops.#rules = rules;
    drops.#inKernel = inKernel;
    drops.#choice = choice;
    drops.#counting = counting;
    drops.#countedSlots = slots;
    return drops;
  }

  /** Stops reading what is counted, for another process or resume() to go on. */
  suspend(): Counting {
    clearInterval(this.#timer);
    this.#read();
    return { inKernel: this.#inKernel, choice: this.#choice, counting: this.#counting, slots: this.#countedSlots };
  }

  resume(): void {
    clearInterval(this.#timer);
    if (this.#counting.length > 0) this.#timer = setInterval(() => this.#read(), COUNT_MS).unref();
  }

  /** The rules that hold now. */
  get rules(): readonly CompiledRule[] {
    return this.#rules;
  }

  /** Makes rules those of the next generation; `vips` are all that filters will be asked for. Throws a Failure. */
  use(rules: readonly CompiledRule[], vips: readonly Prefix[]): void {
    const { mode, link, runtimeDir } = this.#place;
    const slots = assignSlots(
      rules.map(({ name }) => name),
      this.#slots,
    );
    if (slots === null) throw new Failure(`${runtimeDir}: too many drop rules have come and gone (restart the agent)`);
    const inKernel = mode === "tun" ? 0 : rulesForKernel(vips, link, rules);
    const specs = rules.map((rule, i) => ({
      ...rule,
      slot: slots.indexOf(rule.name),
      inKernel: i < inKernel && rule.limit === null,
    }));
    writeRules(runtimeDir, { rules: specs, slots });
    this.#rules = rules;
    this.#slots = slots;
    this.#inKernel = inKernel;
  }

  /** The filter of the uplink's sockets for these VIPs. */
  filter(vips: readonly Prefix[]): Uint8Array {
    const { link } = this.#place;
    return this.#rules.length === 0 ? vipFilter(vips, link) : uplinkFilter(vips, link, this.#rules, this.#inKernel);
  }

  /** Counts from now on what the filter for these VIPs drops. Throws a NativeError. */
  count(vips: readonly Prefix[]): void {
    const taken = this.#rules.slice(0, this.#inKernel).filter(({ limit }) => limit === null);
    const choice = ruleChoice(vips, this.#rules, this.#inKernel);
    const members = choice?.members ?? 1;
    const program = choice?.program ?? null;
    const slots = taken.flatMap(({ name }) => Array<number>(members).fill(this.#slots.indexOf(name)));
    const same = (a: ArrayLike<number> | null, b: ArrayLike<number> | null): boolean =>
      a === b || (a !== null && b !== null && a.length === b.length && Array.from(a).every((x, i) => x === b[i]));
    // Most changes are of hosts and pools: counting goes on as it is.
    if (same(program, this.#choice) && same(slots, this.#countedSlots)) return;
    const fds = program === null ? [] : native().openFrameCounters(this.#place.uplink, slots.length, program);
    this.#closeCounting();
    this.#choice = program;
    this.#counting = fds;
    this.#countedSlots = slots;
    this.resume();
  }

  /** The same when the filter is in force already: what cannot be done is a line, and the old rules are counted on. */
  tryCount(vips: readonly Prefix[]): string[] {
    try {
      this.count(vips);
      return [];
    } catch (error) {
      return [`drop rules are not counted: ${(error as Error).message}`];
    }
  }

  /** Stops counting. */
  close(): void {
    this.#closeCounting();
  }

  /** Closes the own copies of sockets by which another process counts on. */
  leave(): void {
    clearInterval(this.#timer);
    for (const fd of this.#counting) native().close(fd);
    this.#counting = [];
  }

  #closeCounting(): void {
    clearInterval(this.#timer);
    this.#read();
    for (const fd of this.#counting) native().close(fd);
    this.#counting = [];
  }

  #read(): void {
    const slots = this.#countedSlots;
    let member = 0;
    this.#counting.slice(1).forEach((fd, i) => {
      member = slots[i] === slots[i - 1] ? member + 1 : 0;
      const at = slots[i]! * RULE_STRIDE;
      const [frames] = native().packetStatistics(fd);
      this.#kernelCounts[at + RULE_DROPPED] = this.#kernelCounts[at + RULE_DROPPED]! + frames;
      const bytes = member === 0 ? 0 : frames * BYTE_UNITS[member - 1]!;
      this.#kernelCounts[at + RULE_DROPPED_BYTES] = this.#kernelCounts[at + RULE_DROPPED_BYTES]! + bytes;
    });
  }
}
