/**
 * Bytes of packets are read and written through a DataView: one load and a byte swap for a word in network order, where a
 * byte array takes a load, a bounds check and a shift for each byte. A view is made once for a pool or a buffer, never for
 * a packet. Reads beyond its end throw; callers have checked lengths before.
 */

/** A view of the same bytes. */
export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
