/** What a command may touch of its surroundings, and how it reports that it cannot go on. */
import type { Writable } from "node:stream";

export interface CliEnv {
  readonly stdout: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  readonly stderr: Writable & { readonly isTTY?: boolean };
}
