/**
 * The boundary between the pipeline and whatever moves packets: kernel sockets, pcap files or plain memory.
 *
 * All packets of a worker lie in one byte array, the pool. A source fills slots of the pool and describes each packet
 * in a record of int32 words; the pipeline writes headers into headroom or scratch and describes what leaves as gather
 * lists over the same pool. Nothing is copied in TypeScript and nothing is allocated per packet.
 */

/** Bytes a source leaves free in front of every packet, so that a header can be prepended by moving an offset. */
export const HEADROOM = 256;

/** What the first byte at a record's OFFSET is. */
export const LINK_RAW = 0; // an IPv4 or IPv6 header
export const LINK_ETHERNET = 1;
export const LINK_GUE = 2; // a GUE header; the outer IP and UDP headers are gone, PEER and TRAFFIC_CLASS tell of them
export type LinkType = typeof LINK_RAW | typeof LINK_ETHERNET | typeof LINK_GUE;

/** Words of one receive record. Offsets are in bytes from the start of the pool. */
export const RX_OFFSET = 0;
export const RX_LENGTH = 1;
/** RX_FLAG_* bits. */
export const RX_FLAGS = 2;
/** VIRTIO_NET_HDR_GSO_* type without the ECN bit, which is RX_CWR_FIRST; 0 when the frame is one packet. */
export const RX_GSO_TYPE = 3;
/** TCP or UDP payload bytes per segment of a GSO frame; for UDP_GRO the bytes of each datagram but the last; else 0. */
export const RX_GSO_SIZE = 4;
/** With RX_NEEDS_CSUM: where the sum starts, and where in it the 16-bit field lies, as virtio has them: from RX_OFFSET. */
export const RX_CSUM_START = 5;
export const RX_CSUM_OFFSET = 6;
/** Outer TOS or traffic class byte of a GUE packet. */
export const RX_TRAFFIC_CLASS = 7;
/** Outer source address of a GUE packet: 4 words in host order, most significant first; IPv4 is mapped, ::ffff:a.b.c.d. */
export const RX_PEER = 8;
export const RX_STRIDE = 12;

/** The L4 checksum field holds the pseudo-header sum only; the rest is to be summed (virtio NEEDS_CSUM). */
export const RX_NEEDS_CSUM = 1;
/** The frame was longer than its slot. */
export const RX_TRUNCATED = 2;
/**
 * Of the packets of a TCP super-segment only the first has the CWR flag that the frame has, as RFC 3168 wants
 * (VIRTIO_NET_HDR_GSO_ECN). Without it each packet has the frame's flags: CWR is then a bit of the ACE field (RFC 9768).
 */
export const RX_CWR_FIRST = 4;

export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;

/** Packets as received: one burst. The arrays are allocated once and belong to the worker. */
export interface RxBurst {
  readonly records: Int32Array;
  /** Packets in the burst. */
  count: number;
}

export interface PacketSource {
  readonly link: LinkType;
  readonly burst: RxBurst;
  /** Fills `burst` with what waits, at most its capacity. Returns the count; 0 when nothing waits. Never blocks. */
  receive(): number;
}

/** Words of one outgoing GUE message. */
export const TX_IOV_START = 0; // index of the first gather pair
export const TX_IOV_COUNT = 1;
export const TX_LENGTH = 2; // bytes over all pairs
/** Bytes of each datagram (GUE header and inner packet) when the message is a train of datagrams; 0 for one. */
export const TX_SEGMENT_SIZE = 3;
export const TX_TRAFFIC_CLASS = 4;
/** Which of the sending sockets, 0 .. GUE_SOURCE_PORTS - 1; chosen by flow. */
export const TX_SOURCE = 5;
/** 4 or 6: family of the outer header. */
export const TX_FAMILY = 6;
/** Destination address: 4 words in host order; for IPv4 the address is in the last word, the others are ignored. */
export const TX_ADDRESS = 8;
export const TX_STRIDE = 12;

/** Words of one packet for the kernel (TUN). */
export const UP_IOV_START = 0;
export const UP_IOV_COUNT = 1;
export const UP_LENGTH = 2;
/** As in the virtio header that goes in front: RX_NEEDS_CSUM and RX_CWR_FIRST, GSO type and size, checksum start and offset from the IP header. */
export const UP_FLAGS = 3;
export const UP_GSO_TYPE = 4;
export const UP_GSO_SIZE = 5;
export const UP_CSUM_START = 6;
export const UP_CSUM_OFFSET = 7;
/** Length of all headers of a GSO frame, through the end of TCP or UDP. */
export const UP_HEADER_LENGTH = 8;
export const UP_STRIDE = 12;

/**
 * Words of one checksum job: sum two byte ranges (the second may be empty) on top of what the field holds, fold,
 * complement, store at the field (big-endian). The field lies in the first range and counts with its content, which is
 * the folded pseudo-header sum. The first range has an even length when the second is not empty.
 */
export const SUM_START = 0;
export const SUM_LENGTH = 1;
export const SUM_START2 = 2;
export const SUM_LENGTH2 = 3;
export const SUM_FIELD = 4;
/** 1 for UDP, where a sum of 0 is sent as 0xffff (RFC 768). */
export const SUM_ZERO_AS_ONES = 5;
export const SUM_STRIDE = 6;

/**
 * Words of one packet whose checksum is to be verified: the range from its L4 header to its end, on top of the folded sum of its
 * pseudo-header. A range of length 0 is left out.
 */
export const CHECK_START = 0;
export const CHECK_LENGTH = 1;
export const CHECK_PSEUDO = 2;
/** 1 when the checksum is right, else 0; of ranges that were verified. */
export const CHECK_GOOD = 3;
/** The other words are the caller's own. */
export const CHECK_STRIDE = 8;

/** Verifies checksums of packets in the pool, many at a time. */
export interface ChecksumVerifier {
  /** CHECK_STRIDE words each. */
  readonly checks: Int32Array;
  /** Verifies the first `count`. */
  verify(count: number): void;
}

/** Distinct outer source ports of a host; a flow always leaves by the same one. */
export const GUE_SOURCE_PORTS = 64;
/** First of the dynamic ports (RFC 6335), from which the source ports are taken. */
export const GUE_FIRST_SOURCE_PORT = 49152;

/** What a burst sends. The pipeline appends, the sink empties. */
export interface TxQueue {
  /** Messages: TX_STRIDE words each in a GUE queue, UP_STRIDE words each in a delivery queue. */
  readonly records: Int32Array;
  count: number;
  /** Gather pairs: offset, length. */
  readonly iovs: Int32Array;
  iovCount: number;
  /** Checksum jobs, done before anything is sent. */
  readonly sums: Int32Array;
  sumCount: number;
  /** How often the kernel was given something, since this was last set to 0: messages that are joined count once. */
  sends: number;
}

export interface PacketSink {
  readonly queue: TxQueue;
  /** Sends what the queue holds, in order per source port, and empties it. Returns how many messages were not taken. */
  flush(): number;
}

/** Allocates an empty queue. `stride` is TX_STRIDE or UP_STRIDE; capacities are in messages, gather pairs and jobs. */
export function createTxQueue(stride: number, messages: number, iovs: number, sums: number): TxQueue {
  return {
    records: new Int32Array(messages * stride),
    count: 0,
    iovs: new Int32Array(iovs * 2),
    iovCount: 0,
    sums: new Int32Array(sums * SUM_STRIDE),
    sumCount: 0,
    sends: 0,
  };
}
