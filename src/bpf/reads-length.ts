/**
 * Whether a program reads how long a packet is. Of a super-segment the kernel's filters see the length of all its packets together, in
 * the frame and in the length fields of its headers, so that such a program is not for the kernel.
 */
import {
  ALU_AND,
  type Instruction,
  JUMP_EQUAL,
  LD_BYTE,
  LD_LENGTH,
  LD_WORD_AT_X,
  LDX_HEADER,
  LDX_LENGTH,
  LOAD_SIZE,
  successors,
} from "./program.ts";

const V4 = 1;
const V6 = 2;
const UDP = 17;

/** What is known where an instruction is reached: IP versions that are possible, whether UDP is, and what A holds. */
interface State {
  versions: number;
  udp: boolean;
  a: "byte 0" | "version" | "byte 6" | "byte 9" | null;
}

/** Length fields from the IP header on: of IPv4, IPv6, and UDP behind an IPv4 header without options and behind IPv6. */
const FIELDS = [
  { version: V4, at: 2, udp: false },
  { version: V6, at: 4, udp: false },
  { version: V4, at: 24, udp: true },
  { version: V6, at: 44, udp: true },
];
/** The length in a UDP header at X. */
const UDP_LENGTH = 4;

const overlaps = (k: number, size: number, at: number): boolean => k < at + 2 && k + size > at;

function readsLengthHere({ code, k }: Instruction, { versions, udp }: State): boolean {
  if (code === LD_LENGTH || code === LDX_LENGTH) return true;
  const size = LOAD_SIZE.get(code);
  if (size === undefined) return false;
  if (code >= LD_WORD_AT_X && code !== LDX_HEADER) return udp && overlaps(k, size, UDP_LENGTH);
  return FIELDS.some((field) => (versions & field.version) !== 0 && (udp || !field.udp) && overlaps(k, size, field.at));
}

/** What A holds behind an instruction. */
function holds({ code, k }: Instruction, { a }: State): State["a"] {
  if (code === LD_BYTE) return k === 0 ? "byte 0" : k === 6 ? "byte 6" : k === 9 ? "byte 9" : null;
  if (code === ALU_AND && k === 0xf0 && a === "byte 0") return "version";
  return code === JUMP_EQUAL ? a : null;
}

/** Narrows down a state by a comparison of what A holds with `k`. */
function narrow(state: State, k: number, equal: boolean): void {
  if (state.a === "version") {
    const version = k === 0x40 ? V4 : k === 0x60 ? V6 : 0;
    state.versions &= equal ? version : ~version;
  }
  const protocol = (state.a === "byte 9" && state.versions === V4) || (state.a === "byte 6" && state.versions === V6);
  if (protocol && equal !== (k === UDP)) state.udp = false;
}

/** Whether a valid program for packets from the IP header on may read the length of a packet, or a field that holds it. */
export function readsLength(program: readonly Instruction[]): boolean {
  const states = new Array<State | undefined>(program.length).fill(undefined);
  states[0] = { versions: V4 | V6, udp: true, a: null };
  for (const [at, instruction] of program.entries()) {
    const state = states[at];
    if (state === undefined) continue;
    if (readsLengthHere(instruction, state)) return true;
    for (const [i, next] of successors(instruction, at).entries()) {
      const then: State = { ...state, a: holds(instruction, state) };
      if (instruction.code === JUMP_EQUAL) narrow(then, instruction.k, i === 0);
      const before = states[next];
      states[next] =
        before === undefined
          ? then
          : {
              versions: before.versions | then.versions,
              udp: before.udp || then.udp,
              a: before.a === then.a ? then.a : null,
            };
    }
  }
  return false;
}
