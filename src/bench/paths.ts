/** The ways that packets may take through the test stand, and what has to be seen on the way if that is where they went. */
import { addressOf } from "../lab/topology.ts";
import { BALANCERS } from "./peers.ts";
import { BALANCER, BY_HAND_VIP, pairsOf, SERVER, SMALL_VIP } from "./stand.ts";

export const PATH_NAMES = [
  "direct",
  "floor",
  "floor-1",
  "haflinger",
  "haflinger-1",
  "haflinger-2",
  "haflinger-busy",
  "haproxy",
  "haproxy-splice",
  "nginx",
  "by-hand",
] as const;
export type PathName = (typeof PATH_NAMES)[number];

/** How tables and pictures call them. */
export const LABELS: Readonly<Record<PathName, string>> = {
  direct: "direct (kernel routing)",
  haflinger: "Haflinger",
  "haflinger-1": "Haflinger, 1 worker",
  "haflinger-2": "Haflinger, 2 workers",
  "haflinger-busy": "Haflinger, busy polling",
  haproxy: "HAProxy",
  "haproxy-splice": "HAProxy with splice",
  nginx: "nginx stream",
  "by-hand": "by hand (cap, raw-socket)",
  floor: "C floor",
  "floor-1": "C floor, one source port",
};

export interface Path {
  readonly name: PathName;
  /** What the client asks. */
  readonly address: string;
  /** Hosts that packets pass, and no others. */
  readonly through: readonly string[];
  /** The hosts whose agents must forward and deliver; others' must do neither. */
  readonly forwards: string | null;
  readonly delivers: string | null;
}

const [usual, one, two, busy] = pairsOf(null);
const server = addressOf(SERVER, 4);

function throughPair(name: PathName, { director, target, vip }: typeof usual): Path {
  return { name, address: vip, through: [director, target], forwards: director, delivers: target };
}

const throughBalancer = (name: PathName, address: string): Path => ({
  name,
  address,
  through: [BALANCER, SERVER],
  forwards: null,
  delivers: null,
});

/** From client to server and back. */
export const CONNECTIONS: Readonly<Partial<Record<PathName, Path>>> = {
  direct: { name: "direct", address: server, through: [SERVER], forwards: null, delivers: null },
  haflinger: throughPair("haflinger", usual),
  "haflinger-1": throughPair("haflinger-1", one),
  "haflinger-2": throughPair("haflinger-2", two),
  "haflinger-busy": throughPair("haflinger-busy", busy),
  haproxy: throughBalancer("haproxy", BALANCERS.haproxy),
  "haproxy-splice": throughBalancer("haproxy-splice", BALANCERS["haproxy-splice"]),
  nginx: throughBalancer("nginx", BALANCERS.nginx),
  "by-hand": {
    name: "by-hand",
    address: BY_HAND_VIP,
    through: [BALANCER, usual.target],
    forwards: null,
    delivers: usual.target,
  },
};

const small = (name: PathName, host: string, forwards: string | null): Path => ({
  name,
  address: SMALL_VIP,
  through: [host, SERVER],
  forwards,
  delivers: null,
});

/** From the generator to the sink: the first host of each is the director. */
export const SMALL_PACKETS: Readonly<Partial<Record<PathName, Path>>> = {
  haflinger: small("haflinger", usual.director, usual.director),
  "haflinger-1": small("haflinger-1", one.director, one.director),
  "haflinger-2": small("haflinger-2", two.director, two.director),
  floor: small("floor", BALANCER, null),
  "floor-1": small("floor-1", BALANCER, null),
  "by-hand": small("by-hand", BALANCER, null),
};
