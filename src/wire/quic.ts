/**
 * QUIC connection IDs as a load balancer reads them (RFC 8999; draft-ietf-quic-load-balancers, plaintext server ids).
 *
 *    short header   0                   1                   2                   3
 *                   0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 *                  +-+-------------+-----+---------+-------------------------------+
 *                  |0|  protected  |rotat| own len |  server id ...  |  nonce ...
 *                  +-+-------------+-----+---------+-------------------------------+
 *                                  ^ connection ID: its length is known to the server alone
 *
 * Rotation 7 says that the ID carries no server id. The own length is of what follows the octet, and random bits where
 * servers do not write it. A long header has the first bit set, and in it may be an ID that the client made up.
 */

const LONG_HEADER = 0x80;
const UNROUTABLE = 7;
const OWN_LENGTH = 0x1f;
/** Longest connection ID, bytes. */
export const MAX_CONNECTION_ID = 20;
/** Longest server id that is read, bytes: it stays one word. */
export const MAX_SERVER_ID = 4;

/**
 * Offset of the server id in the QUIC packet that lies from `quic` to `end`, or -1 when it has none. In the connection ID it
 * takes `length` bytes from `offset` on, 1 or more; `selfLength`: the first octet tells how long the connection ID is.
 */
export function serverIdOffset(
  b: DataView,
  quic: number,
  end: number,
  offset: number,
  length: number,
  selfLength: boolean,
): number {
  const id = quic + 1 + offset;
  if (id + length > end || (b.getUint8(quic) & LONG_HEADER) !== 0) return -1;
  const first = b.getUint8(quic + 1);
  if (first >>> 5 === UNROUTABLE) return -1;
  return selfLength && (first & OWN_LENGTH) < offset - 1 + length ? -1 : id;
}

/** The server id of 1 to 4 bytes there, as a signed word. */
export function serverIdAt(b: DataView, at: number, length: number): number {
  let id = 0;
  for (let i = 0; i < length; i++) id = (id << 8) | b.getUint8(at + i);
  return id;
}
