/**
 * Hosts by the server id in QUIC connection IDs, in an int32 array: for each service one record, found by its offset.
 *
 * words: [offset and length of the server id in the connection ID, whether the ID tells its length, servers,
 * server ids in ascending order as signed words, host ids]
 */

const OFFSET = 0;
const LENGTH = 1;
const SELF_LENGTH = 2;
const COUNT = 3;
const IDS = 4;

export interface QuicSpec {
  /** Where the server id begins in the connection ID, and its length, both in bytes. */
  readonly offset: number;
  readonly length: number;
  /** The first octet of connection IDs tells their length. */
  readonly selfLength: boolean;
  /** Pairs of server id and host id. */
  readonly servers: readonly (readonly [number, number])[];
}

/** Words a record takes. */
export const quicWords = (spec: QuicSpec): number => IDS + 2 * spec.servers.length;

/** Writes a record at `at`. */
export function writeQuic(words: Int32Array, at: number, spec: QuicSpec): void {
  const servers = spec.servers.map(([id, host]) => [id | 0, host] as const).sort(([a], [b]) => a - b);
  words.set([spec.offset, spec.length, spec.selfLength ? 1 : 0, servers.length], at);
  words.set([...servers.map(([id]) => id), ...servers.map(([, host]) => host)], at + IDS);
}

export const quicOffset = (words: Int32Array, at: number): number => words[at + OFFSET]!;
export const quicLength = (words: Int32Array, at: number): number => words[at + LENGTH]!;
export const quicSelfLength = (words: Int32Array, at: number): boolean => words[at + SELF_LENGTH] !== 0;

/** Id of the host that has a server id, a signed word, or -1. */
export function findServer(words: Int32Array, at: number, id: number): number {
  const count = words[at + COUNT]!;
  const ids = at + IDS;
  let low = 0;
  let high = count - 1;
  while (low <= high) {
    const middle = (low + high) >>> 1;
    const there = words[ids + middle]!;
    if (there === id) return words[ids + count + middle]!;
    if (there < id) low = middle + 1;
    else high = middle - 1;
  }
  return -1;
}

/** Pairs of server id, a signed word, and host id, in order. Not for the hot path. */
export function listServers(words: Int32Array, at: number): [number, number][] {
  const count = words[at + COUNT]!;
  const ids = at + IDS;
  return Array.from({ length: count }, (_, i) => [words[ids + i]!, words[ids + count + i]!]);
}
