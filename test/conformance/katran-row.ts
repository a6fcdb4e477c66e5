/** What a row of the table of Katran's cases says. Wording and expectations are our own; the packets are read from the reference data. */

/** What this project does with the packet of a case. */
export type Expect =
  | {
      /** Forwarded in GUE to one host of a pool, inner bytes as they came, TOS copied outside. */
      readonly kind: "sent";
      /** Outer IP version: that of the pool's hosts. */
      readonly family: 4 | 6;
      /** Key of an earlier row of the file whose host this one goes to as well. */
      readonly like?: string;
      /** The very host. */
      readonly host?: string;
    }
  /** Forwarded in fragments, each in GUE. */
  | { readonly kind: "fragmented" }
  /** Dropped, and the source told by the VIP that packets of so many bytes get through. */
  | { readonly kind: "told"; readonly mtu: number }
  | { readonly kind: "dropped"; readonly verdict: string }
  /** Left to the kernel as it came. */
  | { readonly kind: "kernel" }
  /** Taken out of GUE and handed to the kernel, inner bytes as they came. */
  | { readonly kind: "delivered" };

/** The host and role a case is run on. */
export type Place = "balancer" | "balancer as target" | "inline as target" | "server as target";

export interface Case {
  readonly what: string;
  readonly status: "same" | "different" | "not applicable";
  /** Why, unless it is the same. */
  readonly reason: string;
  /** Null: not run. */
  readonly expect: Expect | null;
  readonly place: Place;
  readonly key: string;
}

export interface Row extends Case {
  readonly file: string;
  readonly n: number;
}

type More = Partial<Pick<Case, "place" | "key">>;
const MORE = { place: "balancer", key: "" } as const;

/** Our behaviour is Katran's. */
export const same = (what: string, expect: Expect, more: More = {}): Case => ({
  what,
  status: "same",
  reason: "",
  expect,
  ...MORE,
  ...more,
});

/** Ours differs on purpose. */
export const different = (what: string, expect: Expect, reason: string, more: More = {}): Case => ({
  what,
  status: "different",
  reason,
  expect,
  ...MORE,
  ...more,
});

/** The case is about something outside layer-4 balancing over GUE. */
export const notApplicable = (what: string, reason: string): Case => ({
  what,
  status: "not applicable",
  reason,
  expect: null,
  ...MORE,
});

/** The rows of a file, numbered from 1. */
export const rows = (file: string, cases: readonly Case[]): Row[] => cases.map((c, i) => ({ ...c, file, n: i + 1 }));

export const sent = (family: 4 | 6, like?: string): Expect => ({
  kind: "sent",
  family,
  ...(like === undefined ? {} : { like }),
});
export const sentTo = (family: 4 | 6, host: string): Expect => ({ kind: "sent", family, host });
export const dropped = (verdict: string): Expect => ({ kind: "dropped", verdict });
export const KERNEL: Expect = { kind: "kernel" };
export const DELIVERED: Expect = { kind: "delivered" };
export const FRAGMENTED: Expect = { kind: "fragmented" };
