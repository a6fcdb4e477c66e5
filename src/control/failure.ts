/** A failure that the user can do something about: lines for stderr and an exit code, no stack. */
export class Failure extends Error {
  readonly lines: readonly string[];
  /** 1: failed; 2: wrong usage or config. */
  readonly exitCode: 1 | 2;

  constructor(lines: string | readonly string[], exitCode: 1 | 2 = 1) {
    const list = typeof lines === "string" ? [lines] : lines;
    super(list.join("\n"));
    this.lines = list;
    this.exitCode = exitCode;
  }
}
