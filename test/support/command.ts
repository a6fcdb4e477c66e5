/** Runs commands of the CLI in this process, and sees what they print. */
import { Writable } from "node:stream";
import { main } from "../../src/cli/main.ts";

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

class Text extends Writable {
  text = "";
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Runs `hafl ARGS`. Not two at once: commands set the process's exit code. */
export async function hafl(...args: string[]): Promise<Outcome> {
  const [stdout, stderr] = [new Text(), new Text()];
  const before = process.exitCode;
  process.exitCode = 0;
  try {
    const code = await main(args, { stdout, stderr });
    return { code, stdout: stdout.text, stderr: stderr.text };
  } finally {
    process.exitCode = before;
  }
}
