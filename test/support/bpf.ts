/** A classic BPF machine, as far as our filters use it; rejects what the kernel's checker would reject. */
import { endianness } from "node:os";

/** Ancillary data of a packet: PACKET_HOST is 0, PACKET_BROADCAST 1, PACKET_MULTICAST 2, PACKET_OTHERHOST 3. */
export interface Ancillary {
  readonly packetType: number;
}

/** Runs a program (struct sock_filter in host order) over a packet. Returns how many bytes pass; 0: dropped. */
export function runBpf(program: Uint8Array, packet: Uint8Array, { packetType }: Ancillary): number {
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const data = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const little = endianness() === "LE";
  const count = program.byteLength / 8;
  let [a, x] = [0, 0];
  for (let pc = 0; pc < count; pc++) {
    const [op, jt, jf] = [code.getUint16(pc * 8, little), code.getUint8(pc * 8 + 2), code.getUint8(pc * 8 + 3)];
    const k = code.getUint32(pc * 8 + 4, little);
    const jump = (condition: boolean): void => {
      pc += condition ? jt : jf;
    };
    const load = (offset: number, size: 1 | 2 | 4): boolean => {
      if (offset + size > packet.byteLength) return false;
      a = size === 4 ? data.getUint32(offset) : size === 2 ? data.getUint16(offset) : data.getUint8(offset);
      return true;
    };
    switch (op) {
      case 0x20:
        if (k === 0xfffff004) a = packetType;
        else if (!load(k, 4)) return 0;
        break;
      case 0x28:
        if (!load(k, 2)) return 0;
        break;
      case 0x30:
        if (!load(k, 1)) return 0;
        break;
      case 0x40:
        if (!load(x + k, 4)) return 0;
        break;
      case 0x01:
        x = k;
        break;
      case 0x74:
        a = a >>> k;
        break;
      case 0x05:
        pc += k;
        break;
      case 0x15:
        jump(a === k);
        break;
      case 0x35:
        jump(a >= k);
        break;
      case 0x06:
        return k;
      default:
        throw new Error(`instruction ${pc}: unknown code ${op}`);
    }
  }
  throw new Error("ran past the end of the program");
}
