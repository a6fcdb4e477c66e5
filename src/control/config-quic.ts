/** What a config says about QUIC: hosts' server ids, and where connection IDs carry them. */
import { z } from "zod";
import { MAX_CONNECTION_ID, MAX_SERVER_ID } from "../wire/quic.ts";
import type { HostConfig, QuicConfig } from "./config.ts";
import { bad, expected, object, type Read, whole } from "./config-fields.ts";
import { type Path, type Problem, show } from "./config-problem.ts";

/** The layout of the draft: a first octet, then the server id. */
export const QUIC_DEFAULT: QuicConfig = { offset: 1, length: 2, selfLength: false };

const SERVER_ID_FORM = "write a number from 0 to 4294967295, or hex like 0x0102";

/** Reads a server id: a number, or text like 0x0102. */
export function readServerId(input: unknown): Read<number | null> {
  if (input === undefined || input === null) return { value: null };
  const hex = typeof input === "string" && /^0x[0-9a-fA-F]{1,8}$/.test(input);
  const id = hex ? Number.parseInt(input, 16) : input;
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id <= 0xffffffff) return { value: id };
  return bad(`${show(input)} is not a server id (${SERVER_ID_FORM})`);
}

/** A server id as one writes it. */
export const showId = (id: number): string => `0x${id.toString(16).padStart(2, "0")}`;

const QUIC = {
  offset: whole(1, MAX_CONNECTION_ID - 1).default(QUIC_DEFAULT.offset),
  length: whole(1, MAX_SERVER_ID).default(QUIC_DEFAULT.length),
  selfLength: z
    .custom<boolean>((x) => typeof x === "boolean", expected("true or false", "write selfLength: true"))
    .default(false),
};
export const QUIC_KEYS = Object.keys(QUIC);

/** Where connection IDs carry the server id. */
export const quic = object(QUIC, "{ offset: 1, length: 2 }")
  .refine(
    ({ offset, length }) => offset + length <= MAX_CONNECTION_ID,
    `reaches beyond ${MAX_CONNECTION_ID} bytes, the longest connection ID (offset and length together are at most ${MAX_CONNECTION_ID})`,
  )
  .nullable()
  .default(null);

/** A service that has been read so far as it could be. */
interface Draft {
  readonly udp?: string;
  readonly quic?: QuicConfig | null;
  readonly pool?: readonly { readonly host: string }[] | null;
}

/** A layout that nothing reads, and server ids of the pool's hosts that do not fit into it. */
export function quicProblems(service: Draft, hosts: readonly Partial<HostConfig>[], path: Path): Problem[] {
  if (service.udp === undefined || service.quic === undefined) return [];
  if (service.udp !== "quic") {
    const text = `is read in services with udp: quic only, this one has udp: ${service.udp} (remove it, or write udp: quic)`;
    return service.quic === null ? [] : [{ path: [...path, "quic"], text }];
  }
  const { length } = service.quic ?? QUIC_DEFAULT;
  const pool = service.pool;
  const members = hosts.filter(({ name }) => pool == null || pool.some(({ host }) => host === name));
  return members
    .filter(({ serverId }) => serverId != null && serverId >= 256 ** length)
    .map(({ name, serverId }) => ({
      path: [...path, "quic", "length"],
      text: `${length} bytes do not hold ${showId(serverId!)}, the server id of host "${name}" (write a larger length)`,
    }));
}
