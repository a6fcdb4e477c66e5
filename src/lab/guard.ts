/** A lab that must not outlive its process, not even when that is killed. */
import { spawn } from "node:child_process";
import { ended, scriptPath } from "./namespace.ts";

export interface Guard {
  /** The lab is down: the guard goes without doing anything. */
  release(): Promise<void>;
}

/** Starts a shell that takes the lab down when this process ends, however it ends. */
export function guardLab(lab: string): Guard {
  const child = spawn("sh", [scriptPath("lab-guard.sh"), lab], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  const gone = ended(child);
  gone.catch(() => {});
  child.stdin.on("error", () => {});
  // It waits for our end: we must not wait for its.
  child.unref();
  return {
    async release(): Promise<void> {
      child.ref();
      child.stdin.end("down\n");
      await gone;
    },
  };
}
