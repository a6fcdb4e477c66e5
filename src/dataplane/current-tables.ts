/** The tables of the current generation, as one worker sees them: looked at once per burst. */
import { mapBank } from "../io/runtime-files.ts";
import { bankBytes, bankOf, bankSerial, currentGeneration, markIdle, markSeen } from "../shm/control-block.ts";
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
    this.#look();
  }

  /** The worker begins to take bursts: from now on it is waited for before its bank is written. */
  enter(): void {
    this.#look();
    markSeen(this.#control, this.#worker, this.#generation);
  }

  /** The worker takes no more bursts until it enters again. */
  leave(): void {
    markIdle(this.#control, this.#worker);
  }

  /** The tables, always the same object; what take() finds is what is in it. */
  get tables(): Tables {
    return this.#tables;
  }

  /** Tables for the burst that begins now. From here on the worker reads nothing older. */
  take(): Tables {
    if (this.#look()) markSeen(this.#control, this.#worker, this.#generation);
    return this.#tables;
  }

  /** Loads the tables if they are others than before. Returns whether they are. */
  #look(): boolean {
    const generation = currentGeneration(this.#control);
    if (generation === this.#generation) return false;
    load(this.#tables, this.#bank(bankOf(generation)));
    this.#generation = generation;
    return true;
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
