/**
 * The words by which control plane and workers meet. Which generation is current: generation g lies in bank g & 1; a worker
 * looks once per burst and writes down what it saw; a bank is written only when every worker has left it. And whose workers may
 * run: of two processes that have the same sockets only one reads them at a time.
 */
import { HEADER_WORDS, type Layout, magic } from "./region.ts";

export const CONTROL_LAYOUT: Layout = { magic: magic("HCtl"), version: 2 };
export const MAX_WORKERS = 64;
export const CONTROL_BYTES = 1024;

const GENERATION = HEADER_WORDS;
const RUNNER = HEADER_WORDS + 1;
const BANK_SERIAL = HEADER_WORDS + 2; // two words
const BANK_BYTES = HEADER_WORDS + 4; // two words
const SEEN = HEADER_WORDS + 16; // one word a worker

/** Words of a control region in plain or mapped memory of CONTROL_BYTES. */
export const controlWords = (buffer: ArrayBufferLike): Int32Array => new Int32Array(buffer, 0, CONTROL_BYTES / 4);

/** Current generation; 0 before the first. */
export const currentGeneration = (words: Int32Array): number => Atomics.load(words, GENERATION);

/** Makes a generation current. Its bank must be complete. */
export const setGeneration = (words: Int32Array, generation: number): void => {
  Atomics.store(words, GENERATION, generation);
};

/** Which bank a generation lies in. */
export const bankOf = (generation: number): 0 | 1 => (generation & 1) as 0 | 1;

/** Serial of a bank's file: it changes when the file is replaced by a larger one, and readers have to map it again. */
export const bankSerial = (words: Int32Array, bank: number): number => Atomics.load(words, BANK_SERIAL + bank);
export const bankBytes = (words: Int32Array, bank: number): number => Atomics.load(words, BANK_BYTES + bank);
export function setBank(words: Int32Array, bank: number, serial: number, bytes: number): void {
  Atomics.store(words, BANK_BYTES + bank, bytes);
  Atomics.store(words, BANK_SERIAL + bank, serial);
}

/** A worker has seen a generation and reads nothing older from now on. */
export const markSeen = (words: Int32Array, worker: number, generation: number): void => {
  Atomics.store(words, SEEN + worker, generation);
};

/** The generation that a worker has seen last; 0: it does not run. */
export const seenGeneration = (words: Int32Array, worker: number): number => Atomics.load(words, SEEN + worker);

/** A worker reads no bank until it marks one again. */
export const markIdle = (words: Int32Array, worker: number): void => {
  Atomics.store(words, SEEN + worker, 0);
};

/** Whether all workers that run have moved on to `generation`. A worker that does not run counts as moved. */
export function allSeen(words: Int32Array, workers: number, generation: number): boolean {
  for (let i = 0; i < workers; i++) {
    const seen = Atomics.load(words, SEEN + i);
    if (seen !== 0 && seen !== generation) return false;
  }
  return true;
}

/** Forgets what workers of an earlier process saw, and that they ran. */
export function resetWorkers(words: Int32Array): void {
  Atomics.store(words, RUNNER, NOBODY);
  for (let i = 0; i < MAX_WORKERS; i++) markIdle(words, i);
}

/** The token of no process: no worker runs. */
export const NOBODY = 0;

/** A token for the workers of one process. Not its pid: two agents in containers may both have number 1. */
export const newToken = (): number => 1 + Math.floor(Math.random() * 0x7ffffffe);

/** Whether workers with this token may go on; they ask before each burst. */
export const mayRun = (words: Int32Array, token: number): boolean => Atomics.load(words, RUNNER) === token;

/** Lets the workers with this token run, and no others, whoever did until now. */
export const letRun = (words: Int32Array, token: number): void => {
  Atomics.store(words, RUNNER, token);
};

/** The same if it is `from` whose workers may run now. Returns whether it was. */
export const passRun = (words: Int32Array, from: number, to: number): boolean =>
  Atomics.compareExchange(words, RUNNER, from, to) === from;
