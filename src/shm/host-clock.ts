/**
 * The clock of what is kept in shared memory: CLOCK_MONOTONIC, which is the same for all threads and processes of a machine, and which
 * nobody sets. The wall clock is no good for that: an hour ahead, every flow would have been idle for an hour.
 */

/** Readings of which the narrowest counts: a thread that is put aside within one of them does not spoil the others. */
const READINGS = 50;

/**
 * What has to be added to `thread` to get `host`, both clocks in ms. They cannot be read at one moment, so `host` is read before and after
 * `thread`, several times, and the reading in which least time passed counts. The result is wrong by half of that time at most.
 */
export function clockOffset(host: () => number, thread: () => number): number {
  let offset = 0;
  let narrowest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < READINGS; i++) {
    const before = host();
    const now = thread();
    const after = host();
    if (after - before >= narrowest) continue;
    narrowest = after - before;
    offset = (before + after) / 2 - now;
  }
  return offset;
}

function monotonic(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1000 + nanoseconds / 1e6;
}

/** performance.now() counts from the start of the thread. */
const OFFSET = clockOffset(monotonic, () => performance.now());

/** Milliseconds since the machine was started. */
export const hostClock = (): number => OFFSET + performance.now();
