/** The tables of the current generation, as one worker sees them: looked up once per burst. */
import { mapBank } from "../io/runtime-files.ts";
import { bankBytes, bankOf, bankSerial, currentGeneration, markSeen } from "../shm/control-block.ts";
import { refresh, type Tables, viewTables } from "../shm/forwarding-table.ts";

export class CurrentTables {
  readonly #dir: string;
  readonly #control: Int32Array;
  readonly #worker: number;
  readonly #views: (Tables | null)[] = [null, null];
  readonly #serials = [0, 0];
  #current: Tables;
  #generation: number;

  /** The control block of the runtime directory must already name a generation. */
  constructor(runtimeDir: string, control: Int32Array, worker: number) {
    this.#dir = runtimeDir;
    this.#control = control;
    this.#worker = worker;
    this.#generation = currentGeneration(control);
    this.#current = this.#open(this.#generation);
    markSeen(control, worker, this.#generation);
  }

  /** Tables for the burst that begins now. From here on the worker reads nothing older. */
  take(): Tables {
    const generation = currentGeneration(this.#control);
    if (generation !== this.#generation) {
      this.#current = this.#open(generation);
      this.#generation = generation;
      markSeen(this.#control, this.#worker, generation);
    }
    return this.#current;
  }

  #open(generation: number): Tables {
    const bank = bankOf(generation);
    const serial = bankSerial(this.#control, bank);
    let view = this.#views[bank];
    if (!view || this.#serials[bank] !== serial) {
      view = viewTables(mapBank(this.#dir, bank, serial, bankBytes(this.#control, bank), false));
      this.#views[bank] = view;
      this.#serials[bank] = serial;
    }
    refresh(view);
    return view;
  }
}
