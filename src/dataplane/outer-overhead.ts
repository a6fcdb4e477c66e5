/** What wrapping a packet adds to it. */
import { IPV4_HEADER } from "../wire/ipv4.ts";
import { IPV6_HEADER } from "../wire/ipv6.ts";
import { UDP_HEADER } from "../wire/udp.ts";

/** Bytes of outer IP, UDP and GUE headers. */
export const outerOverhead = (family: number, gueLength: number): number =>
  (family === 4 ? IPV4_HEADER : IPV6_HEADER) + UDP_HEADER + gueLength;
