/** `hafl install-service`: the agent as a service of systemd. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, realpathSync, renameSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError } from "commander";
import { loadConfig } from "../control/config.ts";
import { Failure } from "../control/failure.ts";
import type { CliEnv } from "./env.ts";
import { serviceUnit, sysusers } from "./service-unit.ts";

interface Options {
  readonly config: string;
  readonly user: string;
  readonly root: string;
  readonly print?: true;
}

function userName(text: string): string {
  if (!/^[a-z_][a-z0-9_-]{0,30}$/.test(text)) throw new InvalidArgumentError("a user's name is made of a-z, 0-9, _ and -");
  return text;
}

const UNIT = "etc/systemd/system/hafl.service";
const USERS = "etc/sysusers.d/hafl.conf";

/** The command line that the service runs. */
function commandOf({ config }: Options, more: readonly string[]): string[] {
  const main = realpathSync(fileURLToPath(new URL("main.js", import.meta.url)));
  return [realpathSync(process.execPath), "--max-semi-space-size=1", main, "run", "--config", resolve(config), ...more];
}

/** BIRD's control socket is open to its group; not known while the config is not there, or the rest of it is in a store. */
function groupsOf({ config }: Options): string[] {
  const loaded = loadConfig(config);
  return "config" in loaded && loaded.config.bgp !== null ? ["bird"] : [];
}

/** The directory, or the file itself, that keeps other users from a file; null when nothing does. */
function barrier(path: string): string | null {
  if (path !== "/" && barrier(dirname(path)) !== null) return barrier(dirname(path));
  const { mode } = statSync(path);
  const open = statSync(path).isDirectory() ? (mode & 0o001) !== 0 : (mode & 0o004) !== 0;
  return open ? null : path;
}

function write(path: string, text: string): void {
  try {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(`${path}.new`, text, { mode: 0o644 });
    renameSync(`${path}.new`, path);
  } catch (error) {
    throw new Failure(`${path}: cannot be written: ${(error as NodeJS.ErrnoException).code} (run as root, or only --print it)`);
  }
}

/** Runs a program of systemd. Throws a Failure with the last line it wrote when it fails. */
function systemd(...command: string[]): void {
  const { status, stderr, error } = spawnSync(command[0]!, command.slice(1), { encoding: "utf8" });
  if (status === 0) return;
  throw new Failure(`\`${command.join(" ")}\` failed: ${error?.message ?? stderr.trim().split("\n").at(-1)}`);
}

function install(options: Options, more: readonly string[], env: CliEnv): void {
  const { root, user, config } = options;
  const command = commandOf(options, more);
  const here = resolve(root) === "/";
  for (const path of here ? [command[0]!, command[2]!] : []) {
    const at = barrier(path);
    if (at !== null)
      throw new Failure(`${path}: the user ${user} could not read it: ${at} is closed to others (install it elsewhere)`);
  }
  write(join(root, UNIT), serviceUnit({ command, user, groups: groupsOf(options) }));
  write(join(root, USERS), sysusers(user));
  const say = (line: string): void => void env.stdout.write(`${line}\n`);
  say(`written: ${join(root, UNIT)}, ${join(root, USERS)}`);
  if (here) {
    systemd("systemd-sysusers", join(root, USERS));
    if (existsSync("/run/systemd/system")) systemd("systemctl", "daemon-reload");
  }
  if (!here || !existsSync(config))
    say(`next: write ${resolve(config)}, readable by the user ${user} (it holds a secret: chown root:${user}, chmod 640)`);
  say("start: systemctl enable --now hafl; after changes of the config: systemctl reload hafl; log: journalctl -u hafl");
}

export function register(program: Command, env: CliEnv): void {
  program
    .command("install-service")
    .description("install the agent as a service of systemd that runs without root")
    .argument("[options...]", "behind --: more options for `hafl run`")
    .option("--config <file>", "the cluster's config file", "/etc/hafl/config.yaml")
    .option("--user <name>", "the user it runs as, made if there is none", userName, "hafl")
    .option("--root <dir>", "install below this directory, for images and packages", "/")
    .option("--print", "print the unit, and change nothing")
    .action((more: string[], options: Options) => {
      const { user, print } = options;
      if (print === true) env.stdout.write(serviceUnit({ command: commandOf(options, more), user, groups: groupsOf(options) }));
      else install(options, more, env);
    });
}
