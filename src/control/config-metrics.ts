/** What a config says about metrics: where they are served. */
import { z } from "zod";
import { formatAddress, parseAddress } from "../wire/address.ts";
import { bad, object, type Read, read } from "./config-fields.ts";
import { show } from "./config-problem.ts";

/** Where something listens; port 0: one that the system chooses. */
export interface Endpoint {
  /** As written in text: IPv6 without brackets. */
  readonly address: string;
  readonly port: number;
}

export interface MetricsConfig {
  readonly listen: Endpoint;
}

/** Only who is on the host itself reaches it, unless the config says otherwise. */
const LOOPBACK = "127.0.0.1";
const DEFAULT: Endpoint = { address: LOOPBACK, port: 9608 };
const FORM = "write 127.0.0.1:9608, [::1]:9608, or a port on 127.0.0.1";

/** Reads `ADDRESS:PORT`, `[ADDRESS]:PORT` or a port. */
export function readEndpoint(input: unknown): Read<Endpoint> {
  if (input === undefined) return { value: DEFAULT };
  const [, six, four, digits] = /^(?:\[([^\]]+)\]:|([^:]+):)?(\d{1,5})$/.exec(String(input)) ?? [];
  const port = Number(digits);
  const address = parseAddress(six ?? four ?? LOOPBACK);
  const fits = address !== null && (six === undefined ? address.family === 4 : address.family === 6);
  if (digits === undefined || port > 65535 || !fits) return bad(`${show(input)} is not an address and a port (${FORM})`);
  return { value: { address: formatAddress(address), port } };
}

/** An endpoint as one writes it. */
export const formatEndpoint = ({ address, port }: Endpoint): string =>
  address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;

const METRICS = { listen: read(readEndpoint) };
export const METRICS_KEYS = { "": Object.keys(METRICS) };

const off = (input: unknown): boolean => input === "off" || input === false;

/** `off`, or a map. */
export const metrics = z.preprocess(
  (input) => (off(input) ? null : input),
  object(METRICS, "{ listen: 127.0.0.1:9608 } or off").nullable().prefault({}),
);
