/**
 * Who owns which slice of which egress IP, as a part of a forwarding-table bank. Each IP has a record of words: ports per
 * slice, slices, and where the owners' host ids begin in the 16-bit view of the bank, one per slice, 0xffff for nobody.
 */

const STRIDE = 4;
const SIZE = 0;
const SLICES = 1;
const OWNERS = 2;
const NOBODY = 0xffff;
const PORTS = 65_536;

export interface EgressSpec {
  /** The IP as text. */
  readonly name: string;
  readonly words: readonly [number, number, number, number];
  readonly family: 4 | 6;
  /** Ports per slice. */
  readonly sliceSize: number;
  /** Host id by slice; what is missing is nobody's. */
  readonly owners: ReadonlyMap<number, number>;
}

const slicesOf = (spec: EgressSpec): number => Math.floor(PORTS / spec.sliceSize);
const ownerWords = (spec: EgressSpec): number => Math.ceil(slicesOf(spec) / 2);

/** Words that the records and owners of so many egress IPs take. */
export const sliceTableWords = (specs: readonly EgressSpec[]): number =>
  specs.reduce((words, spec) => words + STRIDE + ownerWords(spec), 0);

/** Writes the table at word `at`. */
export function writeSliceTable(words: Int32Array, halves: Uint16Array, at: number, specs: readonly EgressSpec[]): void {
  let owners = (at + specs.length * STRIDE) * 2;
  specs.forEach((spec, i) => {
    const slices = slicesOf(spec);
    words.set([spec.sliceSize, slices, owners], at + i * STRIDE);
    for (let slice = 0; slice < slices; slice++) halves[owners + slice] = spec.owners.get(slice) ?? NOBODY;
    owners += ownerWords(spec) * 2;
  });
}

/** Host id of the owner of a port of egress IP number `egress`, or -1. `at` is the table's word offset. */
export function findSliceOwner(words: Int32Array, halves: Uint16Array, at: number, egress: number, port: number): number {
  const record = at + egress * STRIDE;
  const slice = (port / words[record + SIZE]!) | 0;
  if (slice >= words[record + SLICES]!) return -1;
  const owner = halves[words[record + OWNERS]! + slice]!;
  return owner === NOBODY ? -1 : owner;
}
