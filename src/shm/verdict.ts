/**
 * What can become of a packet. Every packet gets exactly one verdict; each is a counter. The numbers are positions in the
 * counters file, so new ones go to the end and a change of order raises the layout version there.
 */
const TABLE = [
  ["none", "no verdict: never counted"],
  ["forwarded", "sent in GUE to its owner"],
  ["delivered", "handed to this host's kernel"],
  ["next_hop", "not known here, sent on to the next hop of its chain"],
  ["not_ours", "neither for a VIP nor for an egress IP"],
  ["malformed", "version or lengths contradict each other or the frame"],
  ["ttl_zero", "TTL or hop limit is 0"],
  ["no_service", "for a VIP, but no service has its protocol and port"],
  ["no_host", "its service has no host that could take it"],
  ["ext_headers", "IPv6 extension headers beyond 8 headers or 256 bytes"],
  ["unknown_l4", "neither TCP, UDP nor ICMP: also ESP and no-next-header"],
  ["fragment_orphan", "later fragment whose first has not come"],
  ["fragment_bad", "first fragment without ports, or overlapping fragments"],
  ["icmp_other", "ICMP that is neither an echo request nor an error about one of our flows"],
  ["too_big", "does not fit the path to its owner and may not be fragmented"],
  ["loop", "GUE of our own that came back for a VIP"],
  ["gso_unknown", "super-segment of a kind that cannot be taken apart"],
  ["not_a_peer", "GUE from an address, or with a next hop, that is no configured host's"],
  ["gue_malformed", "GUE header that contradicts itself or asks for what we do not speak"],
  ["not_a_vip", "GUE whose inner destination is neither VIP nor egress IP"],
  ["ecn", "congestion marked outside, inner packet not ECN-capable (RFC 6040)"],
  ["no_room", "more segments than one burst can carry"],
  ["no_slice", "for an egress IP, but its port is in no host's slice, or it has no ports"],
  ["drop_rule", "matches a drop rule"],
  ["rate_limited", "matches a drop rule that has a limit, and its source is above it"],
] as const;

export type VerdictName = (typeof TABLE)[number][0];

/** Names in order of their numbers. */
export const VERDICT_NAMES: readonly VerdictName[] = TABLE.map(([name]) => name);

/** One line on each verdict, in order of their numbers. */
export const VERDICT_TEXTS: readonly string[] = TABLE.map(([, text]) => text);

const number = (name: VerdictName): number => VERDICT_NAMES.indexOf(name);

/** The parse of a packet found nothing to object to. Not a verdict of its own. */
export const OK = 0;
/** No verdict yet: the packet waits for an answer. */
export const PENDING = 0;
export const FORWARDED = number("forwarded");
export const DELIVERED = number("delivered");
export const NEXT_HOP = number("next_hop");
export const NOT_OURS = number("not_ours");
export const MALFORMED = number("malformed");
export const TTL_ZERO = number("ttl_zero");
export const NO_SERVICE = number("no_service");
export const NO_HOST_LEFT = number("no_host");
export const EXT_HEADERS = number("ext_headers");
export const UNKNOWN_L4 = number("unknown_l4");
export const FRAGMENT_ORPHAN = number("fragment_orphan");
export const FRAGMENT_BAD = number("fragment_bad");
export const ICMP_OTHER = number("icmp_other");
export const TOO_BIG = number("too_big");
export const LOOP = number("loop");
export const GSO_UNKNOWN = number("gso_unknown");
export const NOT_A_PEER = number("not_a_peer");
export const GUE_MALFORMED = number("gue_malformed");
export const NOT_A_VIP = number("not_a_vip");
export const ECN_DROP = number("ecn");
export const NO_ROOM = number("no_room");
export const NO_SLICE = number("no_slice");
export const DROP_RULE = number("drop_rule");
export const RATE_LIMITED = number("rate_limited");
