/** From instructions with labels to a program: jumps may go any distance, as long as they go forward. */
import { type Instruction, JUMP } from "./program.ts";

/** A place, an instruction, or a jump to labels; `null` is the next item. */
export type Item =
  | { readonly label: string }
  | { readonly code: number; readonly k: number }
  | { readonly code: number; readonly k: number; readonly yes: string | null; readonly no: string | null }
  | { readonly go: string };

/** Instructions that a conditional jump can pass over. */
const REACH = 255;

const isBranch = (item: Item): item is Extract<Item, { yes: string | null }> => "yes" in item;

/** Instructions an item becomes. A branch that goes far jumps to a jump. */
const sizeOf = (item: Item, far: boolean): number => ("label" in item ? 0 : isBranch(item) && far ? 3 : 1);

/** Lays the items out. Throws when a label is missing or lies behind a jump to it. */
export function assemble(items: readonly Item[]): Instruction[] {
  const far = new Array<boolean>(items.length).fill(false);
  for (;;) {
    const starts: number[] = [];
    const labels = new Map<string, number>();
    let at = 0;
    for (const [i, item] of items.entries()) {
      starts.push(at);
      if ("label" in item) labels.set(item.label, at);
      at += sizeOf(item, far[i]!);
    }
    const distance = (label: string, from: number): number => {
      const to = labels.get(label);
      if (to === undefined || to < from) throw new Error(`no way forward to ${label}`);
      return to - from;
    };
    let grown = false;
    for (const [i, item] of items.entries()) {
      if (!isBranch(item) || far[i]) continue;
      const reach = (label: string | null): number => (label === null ? 0 : distance(label, starts[i]! + 1));
      if (Math.max(reach(item.yes), reach(item.no)) <= REACH) continue;
      far[i] = true;
      grown = true;
    }
    if (!grown) return items.flatMap((item, i) => emit(item, starts[i]!, far[i]!, distance));
  }
}

function emit(item: Item, at: number, far: boolean, distance: (label: string, from: number) => number): Instruction[] {
  if ("label" in item) return [];
  if ("go" in item) return [{ code: JUMP, jt: 0, jf: 0, k: distance(item.go, at + 1) }];
  const { code, k } = item;
  if (!isBranch(item)) return [{ code, jt: 0, jf: 0, k: k >>> 0 }];
  const to = (label: string | null, from: number, next: number): number => (label === null ? next : distance(label, from));
  if (!far) return [{ code, jt: to(item.yes, at + 1, 0), jf: to(item.no, at + 1, 0), k: k >>> 0 }];
  const jump = (label: string | null, from: number, next: number): Instruction => ({
    code: JUMP,
    jt: 0,
    jf: 0,
    k: to(label, from, next),
  });
  return [{ code, jt: 0, jf: 1, k: k >>> 0 }, jump(item.yes, at + 2, 1), jump(item.no, at + 3, 0)];
}
