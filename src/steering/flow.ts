/** A flow as people write it: `tcp 198.51.100.7:1234 > 192.0.2.10:80`, addresses of IPv6 in brackets. */
import { type Address, formatAddress, parseAddress } from "../wire/address.ts";

export interface Flow {
  readonly protocol: "tcp" | "udp" | "icmp";
  readonly source: Address;
  /** For icmp the identifier of an echo request. */
  readonly sourcePort: number;
  readonly destination: Address;
  /** 0 for icmp. */
  readonly destinationPort: number;
}

interface End {
  readonly address: Address;
  readonly port: number;
}

function parseEnd(text: string): End | null {
  const parts = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? /^()(.+)()$/.exec(text);
  const address = parseAddress(parts?.[1] || parts?.[2] || "");
  const port = Number(parts?.[3] || 0);
  return address === null || port > 65_535 ? null : { address, port };
}

/** Reads a flow; returns what is wrong as text when it is not one. */
export function parseFlow(text: string): Flow | string {
  const match = /^\s*(tcp|udp|icmp)\s+(\S+)\s*>\s*(\S+)\s*$/i.exec(text);
  if (match === null) return "not of the form 'tcp 198.51.100.7:1234 > 192.0.2.10:80' (tcp, udp or icmp; IPv6 in brackets)";
  const protocol = match[1]!.toLowerCase() as Flow["protocol"];
  const source = parseEnd(match[2]!);
  const destination = parseEnd(match[3]!);
  if (source === null) return `'${match[2]}' is not an address with a port`;
  if (destination === null) return `'${match[3]}' is not an address with a port`;
  if (source.address.family !== destination.address.family) return "source and destination are of different IP versions";
  if (protocol !== "icmp" && (source.port === 0 || destination.port === 0)) return "a tcp or udp flow needs both ports";
  return {
    protocol,
    source: source.address,
    sourcePort: source.port,
    destination: destination.address,
    destinationPort: protocol === "icmp" ? 0 : destination.port,
  };
}

/** The flow as parseFlow takes it. */
export function formatFlow(flow: Flow): string {
  const end = (a: Address, port: number): string =>
    a.family === 6 ? `[${formatAddress(a)}]:${port}` : `${formatAddress(a)}:${port}`;
  return `${flow.protocol} ${end(flow.source, flow.sourcePort)} > ${end(flow.destination, flow.destinationPort)}`;
}
