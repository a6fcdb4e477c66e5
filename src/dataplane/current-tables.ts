/** The tables of the current generation, as one worker sees them: looked at once per burst. */
import { mapBank } from "../io/runtime-files.ts";
import { bankBytes, bankOf, bankSerial, currentGeneration, markSeen } from "../shm/control-block.ts";
import { createTables, load, type Tables } from "../shm/forwarding-table.ts";

export class CurrentTables {
  readonly #dir: string;
  readonly #control: Int32Array;
  readonly #worker: number;
  readonly #banks: (ArrayBuffer | null)[] = [null, null];
  readonly #serials = [0, 0];
  readonly #tables = createTables();
  #generation = -1;

  /** The control block of the runtime directory must already name a generation. */
  constructor(runtimeDir: string, control: Int32Array, worker: number) {
    this.#dir = runtimeDir;
    this.#control = control;
    this.#worker = worker;
    this.take();
  }

  /** Tables for the burst that begins now, always in the same object. From here on the worker reads nothing older. */
  take(): Tables {
    const generation = currentGeneration(this.#control);
    if (generation !== this.#generation) {
      load(this.#tables, this.#bank(bankOf(generation)));
      this.#generation = generation;
      markSeen(this.#control, this.#worker, generation);
    }
    return this.#tables;
  }

  #bank(bank: 0 | 1): ArrayBuffer {
    const serial = bankSerial(this.#control, bank);
    let buffer = this.#banks[bank];
    if (!buffer || this.#serials[bank] !== serial) {
      buffer = mapBank(this.#dir, bank, serial, bankBytes(this.#control, bank), false);
      this.#banks[bank] = buffer;
      this.#serials[bank] = serial;
    }
    return buffer;
  }
}
