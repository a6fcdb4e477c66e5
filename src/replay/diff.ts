/** What leaves now against what left earlier, packet by packet. */

export interface Leaving {
  readonly bytes: Uint8Array;
  /** Verdict of the packet that made it leave. */
  readonly verdict: string;
}

export interface Difference {
  /** Verdict of the packet it is about; "missing" when only the earlier output has one. */
  readonly verdict: string;
  /** Number of the packet in the output, from 1. */
  readonly packet: number;
  /** Packets with this verdict that differ. */
  readonly count: number;
  readonly what: string;
}

function describe(now: Uint8Array, before: Uint8Array | undefined): string | null {
  if (before === undefined) return `${now.length} bytes that did not leave before`;
  const shorter = Math.min(now.length, before.length);
  let at = 0;
  while (at < shorter && now[at] === before[at]) at++;
  if (at === shorter && now.length === before.length) return null;
  const lengths = now.length === before.length ? "" : `${before.length} bytes before, ${now.length} now; `;
  if (at === shorter) return `${lengths}equal as far as both go`;
  const hex = (b: Uint8Array): string => Buffer.from(b.subarray(at, at + 4)).toString("hex");
  return `${lengths}from byte ${at} on ${hex(before)} before, ${hex(now)} now`;
}

/** The first difference for each verdict, and how many there are of it. Empty when both are equal. */
export function diffOutputs(now: readonly Leaving[], before: readonly Uint8Array[]): Difference[] {
  const found = new Map<string, { verdict: string; packet: number; count: number; what: string }>();
  const add = (verdict: string, packet: number, what: string): void => {
    const first = found.get(verdict);
    if (first === undefined) found.set(verdict, { verdict, packet, count: 1, what });
    else first.count++;
  };
  now.forEach(({ bytes, verdict }, i) => {
    const what = describe(bytes, before[i]);
    if (what !== null) add(verdict, i + 1, what);
  });
  for (let i = now.length; i < before.length; i++)
    add("missing", i + 1, `${before[i]!.length} bytes that left before do not leave now`);
  return [...found.values()];
}
