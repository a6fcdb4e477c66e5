/** Questions to `ip` and `nft` while an agent runs: the main thread goes on meanwhile, and a program that hangs is given up. */
import { execFile } from "node:child_process";

/** How long an answer may take, ms. */
export const ANSWER_MS = 2_000;
/** Bytes of output: 10,000 routes fit. */
const MAX_OUTPUT = 1 << 28;

export interface Answer {
  readonly stdout: string;
  readonly stderr: string;
  /** 0 unless it says otherwise. */
  readonly code: number;
}

/**
 * Runs a program with `input` as its standard input. Rejects when it cannot be started or was killed because it took longer than
 * `patienceMs`; an exit code other than 0 is an answer.
 */
export function askTool(command: string, args: readonly string[], input = "", patienceMs = ANSWER_MS): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { encoding: "utf8", timeout: patienceMs, killSignal: "SIGKILL", maxBuffer: MAX_OUTPUT } as const;
    const child = execFile(command, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr, code: 0 });
      else if (error.killed === true)
        reject(new Error(`\`${command}\` gave no answer within ${patienceMs / 1000} s (see what holds it up)`));
      else if (typeof error.code === "number") resolve({ stdout, stderr, code: error.code });
      else reject(error);
    });
    // One that ends without reading.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
  });
}
