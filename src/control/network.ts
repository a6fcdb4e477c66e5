/** Carries out a plan on this host, and undoes it. */
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { formatPrefix, type Prefix } from "../wire/address.ts";
import { Failure } from "./failure.ts";
import { claimedVips, type HostState, ip, ourTables, type Rule, readHostState } from "./host-state.ts";
import { applyRules } from "./nft.ts";
import { type Action, addAddress, addVip, type Desired, formatStep, keepPorts, planSetup, type Step } from "./plan.ts";
import { namespaceNumber, type Undo, UndoFile, withLock } from "./undo-file.ts";

/** What the kernel or `ip` says when the thing to be removed is gone, or the thing to be put back is there. */
const ALREADY =
  /No such (file|process|device)|Cannot find device|does not exist|not found|File exists|Cannot assign requested address/;

/** What they say when the thing to be made is there. */
const PRESENT = /File exists|already assigned/i;

export class Network {
  readonly #own: UndoFile;
  readonly #hostPath: string;
  /** The rules for egress IPs as last set. */
  #rules = "";

  /** `runtimeDir` must exist. Instances of one host share what lies beside their directories. */
  constructor(runtimeDir: string) {
    this.#own = new UndoFile(join(runtimeDir, "undo.json"));
    this.#hostPath = join(shared(runtimeDir), `.host-${namespaceNumber()}`);
  }

  /**
   * Plans from the state of the host and does it. What an agent that died had left and is wanted stays as it is all the time,
   * lest its connections break; the rest is undone afterwards. `desire` is asked with the state, and may refuse by throwing.
   * If a step fails everything done so far is undone and its Failure thrown.
   */
  setUp(desire: (state: HostState) => Desired): Desired {
    try {
      return this.#bring(desire);
    } catch (error) {
      this.undo();
      throw error;
    }
  }

  /**
   * The same for who has taken over from a running agent: repairs, and does what another version did not. Where that fails what is
   * there stays, and its Failure is thrown.
   */
  renew(desired: Desired): void {
    this.#bring(() => desired);
  }

  #bring(desire: (state: HostState) => Desired): Desired {
    return this.#locked((host) => {
      const left = this.#own.steps;
      const state = withoutOwn(readHostState(), left);
      const desired = desire(state);
      const actions = planSetup(desired, state);
      this.#apply(actions, host, left.length > 0);
      const wanted = new Set(actions.map(({ undo }) => JSON.stringify(undo)));
      this.#undoOwn(({ undo }) => !wanted.has(JSON.stringify(undo)));
      return desired;
    });
  }

  /** Takes more VIPs over. Throws a Failure at the first that cannot be; those before it stay. */
  addVips(vips: readonly Prefix[], desired: Desired): void {
    if (vips.length === 0) return;
    this.#locked((host) => {
      const state = readHostState();
      const actions = vips.flatMap((vip) => addVip(vip, desired, state));
      this.#apply(actions, host);
    });
  }

  /** Gives VIPs back. Returns what could not be undone, a line each. */
  removeVips(vips: readonly Prefix[]): string[] {
    const gone = new Set(vips.map(formatPrefix));
    return gone.size === 0 ? [] : this.#undoOwn(({ vip }) => vip !== undefined && gone.has(vip));
  }

  /** Makes egress IPs addresses of this host that it only passed packets on for. Throws a Failure. */
  addAddresses(vips: readonly Prefix[]): void {
    if (vips.length === 0) return;
    this.#locked((host) => {
      const state = readHostState();
      this.#apply(
        vips.flatMap((vip) => addAddress(vip, state)),
        host,
      );
    });
  }

  /** The opposite: their packets are still taken over. Returns what could not be undone, a line each. */
  removeAddresses(vips: readonly Prefix[]): string[] {
    const gone = new Set(vips.map(formatPrefix));
    return gone.size === 0 ? [] : this.#undoOwn(({ vip, scope }) => scope === "address" && gone.has(vip!));
  }

  /**
   * Makes the rules for egress IPs what `desired` says, at once; without slices it removes them. Throws a Failure.
   */
  setPorts(desired: Desired): void {
    const present = this.#own.steps.some(({ undo }) => "nft" in undo);
    const [action] = keepPorts(desired);
    const rules = JSON.stringify(action?.apply ?? null);
    if (rules === this.#rules) return;
    if (action !== undefined) this.#do([{ ...action, undo: present ? null : action.undo }], this.#own);
    else if (present) this.#undoOwn(({ undo }) => "nft" in undo);
    this.#rules = rules;
  }

  /** Undoes everything, newest first. Returns what could not be undone, a line each; what is gone already is no such thing. */
  undo(): string[] {
    const own = this.#undoOwn(() => true);
    const rest = this.#locked((host) => {
      if (host.steps.length === 0 || ourTables().length > 0) return [];
      const problems = revert(host.steps.map(({ undo }) => undo));
      host.write([]);
      return problems;
    });
    return [...own, ...rest];
  }

  /** Whether there is anything to undo. */
  get dirty(): boolean {
    return this.#own.steps.length > 0;
  }

  #undoOwn(which: (step: Undo) => boolean): string[] {
    const steps = this.#own.steps.filter(which);
    if (steps.length === 0) return [];
    // Addresses first: once our rule is gone the kernel would answer for them by itself.
    const claimed = claimedVips(tablesIn(this.#own.steps));
    const addresses = steps.filter(({ scope, vip }) => scope === "address" && !claimed.has(vip!));
    const rest = steps.filter(({ scope }) => scope !== "address");
    const problems = [...revert(addresses.map(({ undo }) => undo)), ...revert(rest.map(({ undo }) => undo))];
    this.#own.write(this.#own.steps.filter((step) => !which(step)));
    return problems;
  }

  #apply(actions: readonly Action[], host: UndoFile, again = false): void {
    const shared = actions.filter(({ scope }) => scope === "host");
    const own = actions.filter(({ scope }) => scope !== "host");
    this.#do(shared, host);
    this.#do(own, this.#own, again);
  }

  /** `again`: some of it may have been done and recorded already. */
  #do(actions: readonly Action[], file: UndoFile, again = false): void {
    const recorded = new Set(again ? file.steps.map(({ undo }) => JSON.stringify(undo)) : []);
    for (const run of runs(actions, ({ apply, undo }) => apply ?? undo)) {
      const fresh = run.filter(({ undo }) => undo !== null && !recorded.has(JSON.stringify(undo)));
      file.append(fresh.map(({ undo, scope, vip }) => ({ undo: undo!, scope, vip })));
      carryOut(
        run.flatMap(({ apply }) => apply ?? []),
        again,
      );
    }
  }

  #locked<T>(work: (host: UndoFile) => T): T {
    return withLock(`${this.#hostPath}.lock`, () => work(new UndoFile(`${this.#hostPath}.json`)));
  }
}

/** The routing tables that undo steps speak of. */
const tablesIn = (steps: readonly Undo[]): Set<string> =>
  new Set(
    steps.flatMap(({ undo }) => ("ip" in undo && undo.ip.includes("lookup") ? undo.ip[undo.ip.indexOf("lookup") + 1]! : [])),
  );

/** The host as planned for by who takes over these steps: the tables they speak of are free, and their VIPs are ours. */
function withoutOwn(state: HostState, steps: readonly Undo[]): HostState {
  if (steps.length === 0) return state;
  const tables = tablesIn(steps);
  const others = (rules: readonly Rule[]): Rule[] => rules.filter(({ table }) => table === undefined || !tables.has(table));
  const addresses = steps.flatMap(({ scope, vip }) => (scope === "address" && vip !== undefined ? [vip] : []));
  return {
    ...state,
    rules: { 4: others(state.rules[4]), 6: state.rules[6] === null ? null : others(state.rules[6]) },
    claimed: new Set([...state.claimed, ...addresses]),
  };
}

/** The directory that the instances of a host share: the one their runtime directories are in, where it can be written. */
function shared(runtimeDir: string): string {
  const parent = dirname(runtimeDir);
  try {
    accessSync(parent, constants.W_OK);
    return parent;
  } catch {
    return runtimeDir;
  }
}

/** Consecutive things whose steps one `ip -batch` can do; a sysctl is alone. */
function runs<T>(items: readonly T[], stepOf: (item: T) => Step | null): T[][] {
  const kind = (item: T): string | null => {
    const step = stepOf(item);
    return step !== null && "ip" in step && /^-[46]$/.test(step.ip[0]!) ? step.ip[0]! : null;
  };
  const result: T[][] = [];
  for (const item of items) {
    const last = result.at(-1);
    if (last !== undefined && kind(item) !== null && kind(last[0]!) === kind(item)) last.push(item);
    else result.push([item]);
  }
  return result;
}

/** Does steps that belong to one run. Throws a Failure at the first that fails; `again`: being there already is no failure. */
function carryOut(steps: readonly Step[], again: boolean): void {
  const [first] = steps;
  if (first === undefined) return;
  if ("sysctl" in first) {
    const problem = writeSysctl(first);
    if (problem !== null) throw new Failure(problem);
  } else if ("nft" in first) applyRules(first.nft);
  else if (again) {
    const problem = force(steps, PRESENT);
    if (problem !== null) throw new Failure(problem);
  } else if (steps.length === 1) ip(first.ip);
  else batch(steps, false);
}

/** Does all steps of a run, whatever becomes of each. Returns a line on those that failed for another reason than `fine`. */
function force(run: readonly Step[], fine: RegExp): string | null {
  try {
    if ("nft" in run[0]!) applyRules(run[0].nft);
    else if (run.length > 1) batch(run, true);
    else if ("ip" in run[0]!) ip(run[0].ip);
    return null;
  } catch (error) {
    const said = (error as Error).message.replace(/^`.*?` failed: /, "").split("; ");
    const serious = said.filter((line) => !fine.test(line) && !/^Command failed/.test(line));
    return serious.length === 0 ? null : `${formatStep(run[0]!)}${run.length > 1 ? " ..." : ""}: ${serious.join("; ")}`;
  }
}

/** Steps as the lines of one `ip -batch`. */
function batch(steps: readonly Step[], force: boolean): void {
  const lines = steps.map((step) => ("ip" in step ? step.ip : []));
  const input = lines.map((args) => args.slice(1).join(" ")).join("\n");
  try {
    ip([lines[0]![0]!, ...(force ? ["-force"] : []), "-batch", "-"], `${input}\n`);
  } catch (error) {
    const failed = /Command failed -:(\d+)/.exec((error as Error).message);
    if (force || failed === null || !(error instanceof Failure)) throw error;
    const said = error.message.replace(/^.*?failed: /, "").replace(/;? ?Command failed -:\d+/, "");
    throw new Failure(`\`ip ${lines[Number(failed[1]) - 1]!.join(" ")}\` failed: ${said}`);
  }
}

/** Undoes steps, newest first. Returns a line for each that failed for another reason than that it was undone already. */
function revert(steps: readonly Step[]): string[] {
  const problems: string[] = [];
  for (const run of runs(steps.toReversed(), (step) => step)) {
    const problem = "sysctl" in run[0]! ? restoreSysctl(run[0]) : force(run, ALREADY);
    if (problem !== null) problems.push(problem);
  }
  return problems;
}

function restoreSysctl(step: Extract<Step, { sysctl: string }>): string | null {
  try {
    const now = readFileSync(`/proc/sys/${step.sysctl}`, "utf8").trim();
    if (now === step.value || (step.ifStill !== undefined && now !== step.ifStill)) return null;
  } catch {
    return null; // The device is gone.
  }
  return writeSysctl(step);
}

function writeSysctl({ sysctl, value }: { sysctl: string; value: string }): string | null {
  try {
    writeFileSync(`/proc/sys/${sysctl}`, value);
    return null;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const remedy =
      code === "EROFS" ? "/proc/sys is read-only here, set it from outside" : "CAP_NET_ADMIN is needed: run it as root";
    return `sysctl ${sysctl} cannot be set to ${value}: ${code} (${remedy})`;
  }
}
