/**
 * The clock of what is kept in shared memory: CLOCK_MONOTONIC, which is the same for all threads and processes of a machine, and which
 * nobody sets. The wall clock is no good for that: an hour ahead, every flow would have been idle for an hour.
 */
const [seconds, nanoseconds] = process.hrtime();
const BEGAN = seconds * 1000 + nanoseconds / 1e6 - performance.now();

/** Milliseconds since the machine was started. */
export const hostClock = (): number => BEGAN + performance.now();
