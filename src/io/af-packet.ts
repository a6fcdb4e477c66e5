/** Packets from a device through an AF_PACKET socket. */
import { type Native, type NativeHandle, native } from "./native.ts";
import { type LinkType, type PacketSource, RX_STRIDE, type RxBurst } from "./packet-io.ts";

/** Where frames lie that are longer than a slot: `count` places (at most 64) of `size` bytes each, from `first` on in the pool. */
export interface LargeSlots {
  readonly first: number;
  readonly size: number;
  readonly count: number;
}

/**
 * Source over a descriptor of openPacketSocket(), which stays the caller's to close. `link` is what the device's frames
 * begin with: LINK_ETHERNET, or LINK_RAW on a device without link header (TUN, WireGuard). The burst holds `slots` packets;
 * slot i is `slotSize` bytes of the pool from `first + i * slotSize`. GSO frames need slots of HEADROOM + 65550 bytes and
 * more, those of BIG TCP large slots; a multiple of 4096 would put the headers of all packets into the same few cache sets.
 */
export class PacketSocketSource implements PacketSource {
  readonly link: LinkType;
  readonly burst: RxBurst;
  readonly #receiver: NativeHandle;
  readonly #native: Native;

  constructor(
    fd: number,
    link: LinkType,
    pool: Uint8Array,
    first: number,
    slotSize: number,
    slots: number,
    large: LargeSlots | null = null,
  ) {
    this.#native = native();
    this.link = link;
    this.burst = { records: new Int32Array(slots * RX_STRIDE), count: 0 };
    this.#receiver = this.#native.createReceiver("packet", fd, pool, first, slotSize, slots, this.burst.records);
    if (large !== null) this.#native.addLargeSlots(this.#receiver, pool, large.first, large.size, large.count);
  }

  /** Throws a NativeError (ENETDOWN) when the device is gone; one that is only set down gives 0. */
  receive(): number {
    this.burst.count = this.#native.receive(this.#receiver);
    return this.burst.count;
  }
}
