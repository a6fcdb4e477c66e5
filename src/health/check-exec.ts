/** Checks a service by a program of the operator's: exit code 0 is good. */
import { type ChildProcess, spawn } from "node:child_process";
import { FINE, type Finding, failed, GIVEN_UP } from "./finding.ts";

/** Characters of what the program says that are told on. */
const MOST_TEXT = 200;

/**
 * Runs a program without a shell, with `facts` as its only environment beside PATH. Of what it prints the last line tells what is wrong.
 * After the timeout, or when the check is `over`, it is killed, with all that it has started.
 */
export function checkExec(
  command: readonly string[],
  facts: Readonly<Record<string, string>>,
  timeoutMs: number,
  over?: AbortSignal,
): Promise<Finding> {
  return new Promise((resolve) => {
    const [program, ...args] = command;
    const env = { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ...facts };
    const cannot = ({ code, message }: NodeJS.ErrnoException): Finding =>
      failed("wrong", `${program} cannot be run: ${code ?? message}`);
    let child: ChildProcess;
    try {
      // In a group of its own, to be killed as a whole.
      child = spawn(program!, args, { env, cwd: "/", detached: true, stdio: ["ignore", "pipe", "pipe"] });
    } catch (error) {
      return resolve(cannot(error as NodeJS.ErrnoException));
    }
    let said = "";
    let late = false;
    const hear = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-4096);
    };
    // They are missing where there are no descriptors left for them.
    child.stdout?.on("data", hear);
    child.stderr?.on("data", hear);
    const decide = (finding: Finding): void => {
      clearTimeout(timer);
      over?.removeEventListener("abort", giveUp);
      // What got out of the group may hold the other end for ever.
      child.stdout?.destroy();
      child.stderr?.destroy();
      resolve(finding);
    };
    const kill = (finding: Finding): void => {
      late = true;
      decide(finding);
      killGroup(child.pid);
    };
    const timer = setTimeout(() => kill(failed("slow", `${program} did not end within ${timeoutMs / 1000} s`)), timeoutMs);
    const giveUp = (): void => kill(GIVEN_UP);
    over?.addEventListener("abort", giveUp);
    child.once("error", (error) => decide(cannot(error)));
    child.once("exit", (code, signal) => {
      if (late) return;
      const line = said
        .trim()
        .split("\n")
        .at(-1)!
        .replace(/[^\x20-\x7e]/g, "?")
        .slice(0, MOST_TEXT);
      if (code === 0) decide(FINE);
      else decide(failed("wrong", `${program} ended with ${signal ?? code}${line === "" ? "" : `: ${line}`}`));
      // What it may have left running has no business any more.
      killGroup(child.pid);
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // They have all ended.
  }
}
