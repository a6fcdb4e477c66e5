/** Checksums of packets in a pool, verified by the addon. */
import { type Native, native } from "./native.ts";
import { CHECK_STRIDE, type ChecksumVerifier } from "./packet-io.ts";

/** A verifier for `packets` packets at a time. */
export class NativeVerifier implements ChecksumVerifier {
  readonly checks: Int32Array;
  readonly #pool: Uint8Array;
  readonly #native: Native;

  constructor(pool: Uint8Array, packets: number) {
    this.#native = native();
    this.#pool = pool;
    this.checks = new Int32Array(packets * CHECK_STRIDE);
  }

  verify(count: number): void {
    this.#native.verifyChecksums(this.#pool, this.checks, count);
  }
}
