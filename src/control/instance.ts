/** A running agent as others see it: its runtime directory, its lock and the file that tells of it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { native } from "../io/native.ts";
import { Failure } from "./failure.ts";

/** Where runtime directories are unless told otherwise. */
export const RUN_ROOT = "/run/hafl";

/** Contents of instance.json. */
export interface InstanceInfo {
  readonly instance: string;
  readonly host: string;
  readonly pid: number;
  readonly cluster: string;
  /** Path of the config file. */
  readonly config: string;
  /** ISO 8601. */
  readonly started: string;
}

const infoPath = (dir: string): string => join(dir, "instance.json");

/** The runtime directory of an instance. */
export const runtimeDirOf = (instance: string): string => join(RUN_ROOT, instance);

/** What instance.json says, null when there is none. It may tell of an agent that died. */
export function readInstance(dir: string): InstanceInfo | null {
  try {
    return JSON.parse(readFileSync(infoPath(dir), "utf8")) as InstanceInfo;
  } catch {
    return null;
  }
}

/** Names of the instances with a directory under the root. */
export function instanceNames(root = RUN_ROOT): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root).filter((name) => existsSync(infoPath(join(root, name))));
}

/** The directory a command is about: the one given, that of the instance given, or that of the only instance there is. */
export function findRuntimeDir(runtimeDir: string | undefined, instance: string | undefined): string {
  if (runtimeDir !== undefined) return runtimeDir;
  if (instance !== undefined) return runtimeDirOf(instance);
  const names = instanceNames();
  if (names.length === 1) return runtimeDirOf(names[0]!);
  const found = names.length === 0 ? `no instance in ${RUN_ROOT}` : `there are several instances: ${names.join(", ")}`;
  throw new Failure(`${found} (name one with --instance, or its directory with --runtime-dir)`, names.length === 0 ? 1 : 2);
}

/** Makes a directory and those above it. Not with `recursive`, which never ends where the kernel says ENOENT (/proc). */
function makeDirectory(dir: string): void {
  if (!existsSync(dirname(dir))) makeDirectory(dirname(dir));
  try {
    mkdirSync(dir, { mode: 0o755 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
}

/** Takes the lock of a directory: null when another process has it. The kernel lets go of it when the process ends. */
function lock(dir: string): number | null {
  try {
    return native().lockFile(join(dir, "lock"));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EWOULDBLOCK" || code === "EAGAIN") return null;
    throw new Failure((error as Error).message);
  }
}

/** Whether a process has claimed the directory. */
export function isClaimed(dir: string): boolean {
  if (!existsSync(join(dir, "lock"))) return false;
  const fd = lock(dir);
  if (fd !== null) native().close(fd);
  return fd === null;
}

/** Who is running in a directory that is claimed, for messages. */
export function whoIsIn(dir: string): string {
  const info = readInstance(dir);
  return info === null ? "another agent" : `instance "${info.instance}" with pid ${info.pid}`;
}

/** A claim on a runtime directory: as long as it is held no second agent starts there. */
export class Claim {
  readonly dir: string;
  /** The lock's: whoever is given a copy has the claim too, and it is held until all copies are closed. */
  readonly fd: number;

  private constructor(dir: string, fd: number) {
    this.dir = dir;
    this.fd = fd;
  }

  /** Makes the directory if needed and locks it. Throws a Failure that names the agent that has it. */
  static take(dir: string): Claim {
    try {
      makeDirectory(dir);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      throw new Failure(`${dir}: cannot be made: ${code} (run as root, or name another with --runtime-dir)`);
    }
    const fd = lock(dir);
    if (fd !== null) return new Claim(dir, fd);
    throw new Failure(`${dir}: ${whoIsIn(dir)} is running here (stop it first, or name another directory with --runtime-dir)`);
  }

  /** Shares the claim of the process that `fd` came from. */
  static share(dir: string, fd: number): Claim {
    return new Claim(dir, fd);
  }

  /** Replaces what others read of the agent, at once. */
  write(info: InstanceInfo): void {
    writeFileSync(`${infoPath(this.dir)}.new`, `${JSON.stringify(info)}\n`);
    renameSync(`${infoPath(this.dir)}.new`, infoPath(this.dir));
  }

  /** Gives the directory free. Counters and generations stay for the next agent. */
  release(): void {
    rmSync(infoPath(this.dir), { force: true });
    this.leave();
  }

  /** Gives up the own copy of a claim that another process has too. */
  leave(): void {
    native().close(this.fd);
  }
}
