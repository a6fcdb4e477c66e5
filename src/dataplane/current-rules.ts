/** The drop rules of the current generation, as one worker sees them: read again when the generation changes. */
import { native } from "../io/native.ts";
import { limitsPath, readRulesText, ruleCountersPath, rulesStamp, samplesPath } from "../io/rule-files.ts";
import { BUCKETS_BYTES } from "../shm/bucket-layout.ts";
import type { Tables } from "../shm/forwarding-table.ts";
import { decodeRules, ruleBlock, ruleCountersBytes } from "../shm/rules.ts";
import { SampleRing, samplesBytes } from "../shm/sample-ring.ts";
import { DropRules } from "./drop.ts";
import { TokenBuckets } from "./token-buckets.ts";

export class CurrentRules {
  readonly #dir: string;
  readonly #worker: number;
  readonly #workers: number;
  #generation = -1;
  #stamp = -1n;
  #text = "";
  #rules: DropRules | null = null;

  constructor(runtimeDir: string, worker: number, workers: number) {
    this.#dir = runtimeDir;
    this.#worker = worker;
    this.#workers = workers;
  }

  /** The rules that go with these tables; null when there are none. Throws when their file cannot be read. */
  take(tables: Tables): DropRules | null {
    if (tables.generation === this.#generation) return this.#rules;
    this.#generation = tables.generation;
    const stamp = rulesStamp(this.#dir);
    if (stamp === this.#stamp) return this.#rules;
    this.#stamp = stamp;
    const text = readRulesText(this.#dir);
    if (text === this.#text) return this.#rules;
    this.#text = text;
    const { rules } = decodeRules(text);
    this.#rules = rules.length === 0 ? null : this.#open(rules, tables);
    return this.#rules;
  }

  #open(rules: ReturnType<typeof decodeRules>["rules"], tables: Tables): DropRules {
    const map = (path: string, bytes: number): ArrayBuffer => native().mapFile(path, bytes, false);
    const counts = ruleBlock(map(ruleCountersPath(this.#dir), ruleCountersBytes(this.#workers)), this.#worker);
    const ring = new SampleRing(map(samplesPath(this.#dir), samplesBytes(this.#workers)), this.#worker);
    const buckets = new TokenBuckets(map(limitsPath(this.#dir), BUCKETS_BYTES), tables.key0, tables.key1);
    return new DropRules(rules, counts, ring, buckets);
  }
}
