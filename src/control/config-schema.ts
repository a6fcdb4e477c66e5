/** The shape of each part of a config: types, ranges, defaults. What spans several parts is in config-rules.ts. */
import { z } from "zod";
import type { ServiceConfig } from "./config.ts";
import { BGP_KEYS, bgp, preference, site, sites } from "./config-bgp.ts";
import { CONDUCTOR_KEYS, conductor } from "./config-conductor.ts";
import {
  bad,
  expected,
  name,
  object,
  oneOf,
  type PoolDraft,
  ports,
  type Read,
  read,
  readAddress,
  readDips,
  readPool,
  readVip,
  weight,
  whole,
} from "./config-fields.ts";
import { HEALTH_KEYS, type HealthDraft, health, SERVICE_HEALTH_KEYS, serviceHealth } from "./config-health.ts";
import { LOAD_KEYS, load, SERVICE_LOAD_KEYS, serviceLoad } from "./config-load.ts";
import { METRICS_KEYS, metrics } from "./config-metrics.ts";
import { MISSING, show } from "./config-problem.ts";
import { QUIC_KEYS, quic, readServerId } from "./config-quic.ts";
import { STORE_KEYS, store } from "./config-store.ts";

/** A service before its pool and what is checked of it are resolved. */
export type ServiceDraft = Omit<ServiceConfig, "pool" | "health"> & { pool: PoolDraft; health: HealthDraft };

/** How long older generations stay in the chains. */
const drainSeconds = whole(0, 86400);
const HOST = {
  name,
  dip: read(readDips),
  weight: weight.default(1),
  state: oneOf("active", "draining", "down").default("active"),
  drainSeconds: drainSeconds.nullable().default(null),
  serverId: read(readServerId),
  site,
  preference,
};
const SERVICE = {
  name,
  vips: z.array(read(readVip), expected("a list of addresses", "write [192.0.2.10]")).min(1, "no VIP (write [192.0.2.10])"),
  ports,
  pool: read(readPool),
  sites,
  udp: oneOf("stateless", "flow", "quic").default("flow"),
  hash: oneOf("5-tuple", "source", "source-port", "destination-port").default("5-tuple"),
  quic,
  health: serviceHealth,
  load: serviceLoad,
};
const slices = z.array(whole(0, 1023), expected("a list of slices", "write { s1: [1, 2] }"));
const EGRESS = {
  ip: read(readAddress),
  sliceSize: whole(64, 32768).default(2048),
  owners: z.record(z.string(), slices, expected("a map", "write { s1: [1, 2], s2: [3] }")),
};
const limit = object(
  {
    pps: whole(1, 1e9).nullable().default(null),
    bps: whole(1, 1e12).nullable().default(null),
    per: read((input): Read<number | null> => {
      if (input === undefined || input === null) return { value: null };
      const match = /^\/(\d{1,3})$/.exec(String(input));
      return match !== null && Number(match[1]) <= 128
        ? { value: Number(match[1]) }
        : bad(`${show(input)} is not a prefix length (write /24)`);
    }),
  },
  "{ pps: 1000, per: /24 }",
).refine(({ pps, bps }) => pps !== null || bps !== null, "limits nothing (write pps: 1000 or bps: 1000000)");
const DROP = {
  name,
  match: z.custom<string>(
    (x) => typeof x === "string" && x.trim() !== "",
    expected("a filter expression", 'write "udp and src port 123"'),
  ),
  sample: whole(1, 1e9).nullable().default(null),
  limit: limit.nullable().default(null),
};

/** Largest table: 1,000,003 is the first prime above a million. */
export const TABLE_SIZE_MAX = 1_000_003;

function readSeed(input: unknown): Read<Uint8Array> {
  if (input === undefined) return bad(`${MISSING} (make one with "openssl rand -hex 16")`);
  if (typeof input !== "string" || !/^[0-9a-fA-F]{32}$/.test(input))
    return bad('is not 32 hex digits (make one with "openssl rand -hex 16")');
  return { value: Uint8Array.from(input.match(/../g)!, (byte) => Number.parseInt(byte, 16)) };
}

/** GUE and the ports it is sent from must not meet. */
const guePort = whole(1, 49151, "write a port from 1 to 49151; those above are what GUE is sent from");
const GUE = { port: guePort.default(6080) };
const TABLE = { size: whole(2, TABLE_SIZE_MAX).default(65537), drainSeconds: drainSeconds.default(300) };
const FLOW_TABLE = { size: whole(1024, 16_777_216).default(1_000_000) };
const device = z.custom<string>(
  (x) => typeof x === "string" && /^[^\s/]{1,15}$/.test(x),
  expected("a device name", "write eth0"),
);
const workers = z.custom<number | "auto">(
  (n) => n === "auto" || (Number.isInteger(n) && (n as number) >= 1 && (n as number) <= 64),
  expected("valid here", "write a whole number from 1 to 64, or auto"),
);
const offload = oneOf("auto", "off").default("auto");
const OFFLOADS = { sendTrains: offload, receiveTrains: offload, joinTcp: offload, joinUdp: offload };
const IO = {
  mode: oneOf("af-packet", "tun").default("af-packet"),
  uplink: device.nullable().default(null),
  workers: workers.default("auto"),
  cpus: z
    .array(whole(0, 1023), expected("a list of CPU numbers", "write [0, 1]"))
    .min(1, "no CPU (write [0, 1])")
    .nullable()
    .default(null),
  busyPollUs: whole(0, 100_000).default(0),
  offloads: object(OFFLOADS, "{ joinTcp: off }").prefault({}),
};

const off = (input: unknown): boolean => input === "off" || input === false;

/** What is known of a part: its schema; its keys, for suggestions; of a list, the fields of an item and how many there may be. */
export const PARTS = {
  cluster: { schema: name, keys: {} },
  seed: { schema: read(readSeed), keys: {} },
  hosts: {
    schema: object(HOST, "{ name: s1, dip: 10.0.1.11 }"),
    keys: { "": Object.keys(HOST) },
    fields: HOST,
    least: 1,
    most: 4096,
  },
  services: {
    schema: object(SERVICE, "{ name: web, vips: [192.0.2.10], ports: { tcp: [80] } }"),
    keys: {
      "": Object.keys(SERVICE),
      ports: ["tcp", "udp"],
      quic: QUIC_KEYS,
      health: SERVICE_HEALTH_KEYS,
      load: SERVICE_LOAD_KEYS,
    },
    fields: SERVICE,
    least: 0,
    most: 1024,
  },
  egress: {
    schema: object(EGRESS, "{ ip: 198.51.100.1, owners: { s1: [1] } }"),
    keys: { "": Object.keys(EGRESS) },
    fields: EGRESS,
    least: 0,
    most: 1024,
  },
  drop: {
    schema: object(DROP, '{ name: ntp, match: "udp and src port 123" }'),
    keys: { "": Object.keys(DROP), limit: ["pps", "bps", "per"] },
    fields: DROP,
    least: 0,
    most: 1024,
  },
  gue: { schema: object(GUE, "{ port: 6080 }").prefault({}), keys: { "": Object.keys(GUE) } },
  table: { schema: object(TABLE, "{ size: 65537 }").prefault({}), keys: { "": Object.keys(TABLE) } },
  flowTable: {
    schema: z.preprocess(
      (input) => (off(input) ? null : input),
      object(FLOW_TABLE, "{ size: 1000000 } or off").nullable().prefault({}),
    ),
    keys: { "": Object.keys(FLOW_TABLE) },
  },
  io: {
    schema: object(IO, "{ mode: af-packet, uplink: eth0 }").prefault({}),
    keys: { "": Object.keys(IO), offloads: Object.keys(OFFLOADS) },
  },
  store: { schema: store, keys: STORE_KEYS },
  bgp: { schema: bgp, keys: BGP_KEYS },
  metrics: { schema: metrics, keys: METRICS_KEYS },
  health: { schema: health, keys: HEALTH_KEYS },
  conductor: { schema: conductor, keys: { "": CONDUCTOR_KEYS } },
  load: { schema: load, keys: { "": LOAD_KEYS } },
} as const;

/** Parts that each host has in a file of its own when the others are kept in a store. */
export const LOCAL_PARTS: readonly string[] = ["cluster", "seed", "io", "store", "bgp", "metrics"];

export type ListPart = "hosts" | "services" | "egress" | "drop";
