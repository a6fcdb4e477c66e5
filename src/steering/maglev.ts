/**
 * Weighted Maglev (Eisenbud et al., NSDI 2016, section 3.4). Every host walks the buckets in an order of its own, made of
 * its name and the seed, and takes the next free one each time its turn comes; turns are dealt by weight.
 */
import { hashBytes } from "./name-hash.ts";

export interface WeightedHost {
  readonly name: string;
  /** Relative share, above 0; a host with weight 0 takes part in nothing. */
  readonly weight: number;
}

/** A bucket that belongs to nobody, and the end of a chain. */
export const NO_HOST = 0xffff;

/**
 * Fills a table of `size` buckets (a prime) with indexes into `hosts`. The result does not depend on the order of `hosts`.
 * Shares keep to the weights within one bucket a host. Without hosts every bucket is NO_HOST.
 */
export function maglev(hosts: readonly WeightedHost[], size: number, key: readonly [number, number]): Uint16Array {
  const table = new Uint16Array(size).fill(NO_HOST);
  const order = hosts
    .map((host, index) => ({ index, name: host.name, weight: host.weight }))
    .filter((host) => host.weight > 0)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const count = order.length;
  if (count === 0) return table;

  const next = new Int32Array(count);
  const step = new Int32Array(count);
  const weights = new Float64Array(count);
  const credit = new Float64Array(count);
  const encoder = new TextEncoder();
  for (let i = 0; i < count; i++) {
    const [a, b] = hashBytes(encoder.encode(order[i]!.name), key[0], key[1]);
    next[i] = a % size;
    step[i] = (b % (size - 1)) + 1;
    weights[i] = order[i]!.weight;
  }
  const most = weights.reduce((a, b) => Math.max(a, b));

  for (let left = size; ; ) {
    for (let i = 0; i < count; i++) {
      const have = credit[i]! + weights[i]!;
      if (have < most) {
        credit[i] = have;
        continue;
      }
      credit[i] = have - most;
      const skip = step[i]!;
      let at = next[i]!;
      while (table[at] !== NO_HOST) {
        at += skip;
        if (at >= size) at -= size;
      }
      table[at] = order[i]!.index;
      at += skip;
      next[i] = at >= size ? at - size : at;
      if (--left === 0) return table;
    }
  }
}

/** Whether `n` can be the size of a table: every step must visit every bucket. */
export function isPrime(n: number): boolean {
  if (!Number.isInteger(n) || n < 2) return false;
  for (let d = 2; d * d <= n; d++) if (n % d === 0) return false;
  return true;
}
