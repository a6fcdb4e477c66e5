/** A lease of the file store: a file that is touched as long as its holder lives. */
import { asStoreError, type FileFolder } from "./file-folder.ts";
import { type Lease, StoreRefused } from "./store.ts";

/** Touched so often in its time. */
const BEATS = 4;

export class FileLease implements Lease {
  readonly id: string;
  readonly lost: Promise<string>;
  readonly #folder: FileFolder;
  readonly #seconds: number;
  readonly #released: (lease: FileLease) => void;
  #tell: (reason: string) => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #heldUntil: number;

  /** Takes one and keeps it; `released` is called when it is not kept any more. */
  constructor(folder: FileFolder, seconds: number, released: (lease: FileLease) => void) {
    this.#folder = folder;
    this.#seconds = seconds;
    this.#released = released;
    this.lost = new Promise((resolve) => {
      this.#tell = resolve;
    });
    this.#heldUntil = performance.now() + seconds * 1000;
    this.id = folder.addLease(seconds);
    this.#wait();
  }

  async revoke(): Promise<void> {
    this.leave("given up");
    try {
      this.#folder.dropLease(this.id);
      // Its entries go with the next change, also one of nothing.
      await this.#folder.change();
    } catch (error) {
      throw asStoreError(error);
    }
  }

  /** Keeps it no longer: it ends by itself. */
  leave(reason: string): void {
    clearTimeout(this.#timer);
    this.#tell(reason);
    this.#released(this);
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#beat(), (this.#seconds * 1000) / BEATS);
  }

  #beat(): void {
    const now = performance.now();
    try {
      // A process that was stopped for too long must not wake what others take for dead.
      if (now > this.#heldUntil || !this.#folder.isHeld(this.id)) throw new StoreRefused(`not renewed for ${this.#seconds} s`);
      this.#folder.touchLease(this.id);
      this.#heldUntil = now + this.#seconds * 1000;
    } catch (error) {
      // What may pass is tried again while there is time.
      if (asStoreError(error) instanceof StoreRefused || now > this.#heldUntil) {
        this.leave((error as Error).message);
        return;
      }
    }
    this.#wait();
  }
}
