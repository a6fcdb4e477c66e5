/**
 * The director as one would write it with what npm has: cap reads packets, raw-socket sends them.
 *
 *   node by-hand.js MODULES DEVICE VIP PEER_ADDRESS GUE_PORT
 *
 * MODULES is the folder with node_modules in it. Each TCP packet to VIP is copied behind a UDP and a GUE header and sent to the one peer, from
 * one of 64 source ports by its addresses and ports. Its checksum is computed anew, as the sender's kernel may have left it to the
 * network card and cap does not tell. There is no look-up, no flow table, no fragments, no path MTU; frames of more than one packet
 * leave as they came and are lost, so that it carries small packets and conversations but no bulk. Prints "ready"; ends with
 * its standard input.
 */
import { createRequire } from "node:module";
import { join } from "node:path";

const ETHERNET = 14;
const UDP_HEADER = 8;
const GUE = 4;
const FIRST_PORT = 49152;
const PORTS = 64;
const UDP = 17;
const IPIP = 4;
const TCP = 6;

interface Capture {
  open(device: string, filter: string, bufferSize: number, buffer: Buffer): string;
  setMinBytes?(bytes: number): void;
  on(event: "packet", handler: (length: number, truncated: boolean) => void): void;
}
interface RawSocket {
  send(buffer: Buffer, offset: number, length: number, address: string, done: (error: Error | null) => void): void;
  on(event: "error", handler: (error: Error) => void): void;
}

const [modules, device, vip, peer, port] = process.argv.slice(2) as [string, string, string, string, string];
const require = createRequire(join(modules, "package.json"));
const { Cap } = require("cap") as { Cap: new () => Capture };
interface Part {
  readonly buffer: Buffer;
  readonly offset: number;
  readonly length: number;
}
const raw = require("raw-socket") as {
  createSocket(options: { protocol: number; bufferSize: number }): RawSocket;
  createChecksum(...parts: Part[]): number;
};

const buffer = Buffer.alloc(65_535);
const capture = new Cap();
const socket = raw.createSocket({ protocol: UDP, bufferSize: 65_535 });
socket.on("error", (error) => process.stderr.write(`${error.message}\n`));
capture.open(device, `dst host ${vip}`, 10 * 1024 * 1024, buffer);
capture.setMinBytes?.(0);

const pseudo = Buffer.alloc(12);

/** Sums the TCP header and its payload, with the pseudo-header (RFC 9293, 3.1). */
function setChecksum(packet: Buffer, ip: number, tcp: number, end: number): void {
  packet.copy(pseudo, 0, ip + 12, ip + 20);
  pseudo.writeUInt16BE(TCP, 8);
  pseudo.writeUInt16BE(end - tcp, 10);
  packet.writeUInt16BE(0, tcp + 16);
  const sum = raw.createChecksum({ buffer: pseudo, offset: 0, length: 12 }, { buffer: packet, offset: tcp, length: end - tcp });
  packet.writeUInt16BE(sum, tcp + 16);
}

capture.on("packet", () => {
  const ip = ETHERNET;
  const length = buffer.readUInt16BE(ip + 2);
  const transport = ip + (buffer[ip]! & 15) * 4;
  setChecksum(buffer, ip, transport, ip + length);
  const source = Math.imul(buffer.readInt32BE(ip + 12) ^ buffer.readInt32BE(transport), 0x9e3779b1) >>> 26;
  // raw-socket keeps the buffer until the packet has left, so that each needs one of its own.
  const message = Buffer.allocUnsafe(UDP_HEADER + GUE + length);
  message.writeUInt16BE(FIRST_PORT + (source % PORTS), 0);
  message.writeUInt16BE(Number(port), 2);
  message.writeUInt16BE(message.length, 4);
  message.writeUInt16BE(0, 6);
  message.writeUInt32BE(IPIP << 16, UDP_HEADER);
  buffer.copy(message, UDP_HEADER + GUE, ip, ip + length);
  socket.send(message, 0, message.length, peer, () => {});
});

process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
process.stdout.write("ready\n");
