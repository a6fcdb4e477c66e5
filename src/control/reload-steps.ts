/** What a change of the config changes of the host, as steps that can all be undone. */
import type { Prefix } from "../wire/address.ts";
import type { CompiledRule } from "./drop-rules.ts";
import type { Holdings } from "./holdings.ts";
import type { Desired } from "./plan.ts";
import type { TransactionStep } from "./transaction.ts";

export interface Reload {
  readonly before: Desired;
  readonly after: Desired;
  /** VIPs that are new, and egress IPs that become addresses of this host. */
  readonly added: readonly Prefix[];
  readonly gained: readonly Prefix[];
  /** Ports of egress IPs while addresses come and go. */
  readonly meanwhile: Desired;
  /** Gives the drop rules; may throw. */
  readonly rules: () => readonly CompiledRule[];
}

/** Adds only: what is not needed any more goes when the new tables are current. At no time is there a VIP that is filtered out. */
export function reloadSteps(
  { network, drops, descriptors }: Pick<Holdings, "network" | "drops" | "descriptors">,
  { before, after, added, gained, meanwhile, rules }: Reload,
): TransactionStep[] {
  const both = [...before.vips, ...added];
  const rulesBefore = drops.rules;
  return [
    {
      what: "filter of the sockets",
      apply: () => descriptors.setFilter(both),
      undo: () => void descriptors.setFilter(before.vips),
    },
    { what: "ports of egress IPs", apply: () => network.setPorts(meanwhile), undo: () => void network.setPorts(before) },
    { what: "new VIPs", apply: () => network.addVips(added, after), undo: () => network.removeVips(added) },
    { what: "new egress IPs", apply: () => network.addAddresses(gained), undo: () => network.removeAddresses(gained) },
    {
      what: "drop rules",
      apply: () => drops.use(rules(), both),
      undo: () => void drops.use(rulesBefore, before.vips),
    },
  ];
}
