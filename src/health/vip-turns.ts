/** Which VIP of a service is checked next. */
import type { ServiceConfig } from "../control/config.ts";
import type { Address, Prefix } from "../wire/address.ts";
import type { Finding } from "./finding.ts";

/** An address of a prefix that stands for all of it: the first after its own, as in a subnet. */
export function addressIn({ address, length }: Prefix): Address {
  if (length === (address.family === 4 ? 32 : 128)) return address;
  const [a, b, c, d] = address.words;
  return { family: address.family, words: [a, b, c, (d | 1) >>> 0] };
}

/** One check is of one VIP. They take turns, but for one that fails: it is checked until it no longer does. */
export class VipTurns {
  readonly #vips: readonly Address[];
  #at = 0;

  /** Of families that `usable` names; there may be none. */
  constructor({ vips }: Pick<ServiceConfig, "vips">, usable: (family: 4 | 6) => boolean) {
    this.#vips = vips.map(addressIn).filter(({ family }) => usable(family));
  }

  get count(): number {
    return this.#vips.length;
  }

  /** Checks the VIP whose turn it is. */
  async take(check: (vip: Address) => Promise<Finding>): Promise<Finding> {
    const finding = await check(this.#vips[this.#at]!);
    if (finding.outcome === "answered") this.#at = (this.#at + 1) % this.#vips.length;
    return finding;
  }
}
