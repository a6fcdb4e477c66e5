/** A classic BPF machine as the kernel runs socket filters: with ancillary data, and a program that ends with 0 when a load fails. */
import { decodeProgram } from "../../src/bpf/program.ts";

/** What a program may ask of a packet beyond its bytes: packet type (PACKET_HOST is 0), EtherType, a random word. */
export interface Ancillary {
  readonly packetType: number;
  readonly protocol?: number;
  readonly random?: number;
}

const ANCILLARY = 0xfffff000;

/** Runs a program (struct sock_filter in host order) over a packet. Returns how many bytes pass; 0: dropped. */
export function runBpf(program: Uint8Array, packet: Uint8Array, { packetType, protocol = 0, random = 0 }: Ancillary): number {
  const code = decodeProgram(program);
  const data = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const extra: Readonly<Record<number, number>> = { 0: protocol, 4: packetType, 56: random };
  const memory = new Uint32Array(16);
  const register = new Uint32Array(2);
  for (let pc = 0; pc < code.length; pc++) {
    const { code: op, jt, jf, k } = code[pc]!;
    const [a, x] = [register[0]!, register[1]!];
    const operand = (op & 0x08) !== 0 ? x : k;
    const set = (value: number): void => {
      register[0] = value;
    };
    const size = { 0: 4, 8: 2, 16: 1 }[op & 0x18]!;
    switch (op & 7) {
      case 0:
      case 1: {
        const mode = op & 0xe0;
        let value: number;
        if (mode === 0x00) value = k;
        else if (mode === 0x60) value = memory[k]!;
        else if (mode === 0x80) value = packet.byteLength;
        else if (mode === 0x20 && k >= ANCILLARY) {
          if (extra[k - ANCILLARY] === undefined) throw new Error(`instruction ${pc}: ancillary ${k - ANCILLARY}`);
          value = extra[k - ANCILLARY]!;
        } else {
          const at = mode === 0x40 ? x + k : k;
          const bytes = mode === 0xa0 ? 1 : size;
          if (at + bytes > packet.byteLength) return 0;
          value = bytes === 4 ? data.getUint32(at) : bytes === 2 ? data.getUint16(at) : data.getUint8(at);
          if (mode === 0xa0) value = (value & 15) * 4;
        }
        register[(op & 7) === 0 ? 0 : 1] = value;
        break;
      }
      case 2:
        memory[k] = a;
        break;
      case 3:
        memory[k] = x;
        break;
      case 4:
        switch (op & 0xf0) {
          case 0x00:
            set(a + operand);
            break;
          case 0x10:
            set(a - operand);
            break;
          case 0x20:
            set(Math.imul(a, operand));
            break;
          case 0x30:
          case 0x90:
            if (operand === 0) return 0;
            set((op & 0xf0) === 0x30 ? Math.floor(a / operand) : a % operand);
            break;
          case 0x40:
            set(a | operand);
            break;
          case 0x50:
            set(a & operand);
            break;
          case 0x60:
            set(a << operand);
            break;
          case 0x70:
            set(a >>> operand);
            break;
          case 0x80:
            set(-a);
            break;
          default:
            set(a ^ operand);
        }
        break;
      case 5: {
        if (op === 0x05) {
          pc += k;
          break;
        }
        const test = op & 0xf0;
        const yes =
          test === 0x10 ? a === operand : test === 0x20 ? a > operand : test === 0x30 ? a >= operand : (a & operand) !== 0;
        pc += yes ? jt : jf;
        break;
      }
      case 6:
        return op === 0x16 ? a : k;
      default:
        if (op === 0x07) register[1] = a;
        else register[0] = x;
    }
  }
  throw new Error("ran past the end of the program");
}
