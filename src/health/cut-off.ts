/**
 * A host that no other one answers is cut off itself, as long as nothing says otherwise. It must get no packets then: those that it would
 * pass on are lost. And when it is back its tables are old, so that it would take flows that others have meanwhile: it waits for the store.
 */
import type { AgentView } from "../control/attendant.ts";
import type { ClusterKeys } from "../store/keys.ts";
import { type Outcome, type ProbesRecord, readRecord } from "../store/records.ts";
import type { Store } from "../store/store.ts";

/** What a host's probes of one service of another host have come to. */
export interface Found {
  readonly host: string;
  /** null: nothing yet. */
  readonly healthy: boolean | null;
  readonly outcome: Outcome;
}

/** Between two looks, ms. */
const LOOK_MS = 500;
/** How long the store may take to say what others find, ms: it has several members, and each of them its time. */
const ASK_MS = 2_000;
/** How long it waits for the store when others answer again, ms: the store may be away for reasons of its own. */
const STORE_MS = 10_000;

const UNHEARD: readonly Outcome[] = ["silent", "unreachable"];

/** Whether nothing at all comes back from other hosts. Of one alone nobody can tell which of the two is cut off. */
export function nobodyAnswers(found: readonly Found[]): boolean {
  const silent = found.every(({ healthy, outcome }) => healthy === false && UNHEARD.includes(outcome));
  return silent && new Set(found.map(({ host }) => host)).size >= 2;
}

/** Whether another host reaches a third one: then the tunnel works, only not here. */
export const othersMeet = (self: string, probes: readonly ProbesRecord[]): boolean =>
  probes.some(
    ({ host, hosts }) =>
      host !== self &&
      Object.entries(hosts).some(([other, services]) => other !== self && Object.values(services).some(({ healthy }) => healthy)),
  );

export interface CutOffOptions {
  readonly store: Store;
  readonly keys: ClusterKeys;
  readonly found: () => readonly Found[];
  /** Whether the store cannot be reached. */
  readonly storeAway: () => boolean;
}

/** Says on the board that this host is cut off, from when it is so until it is back and knows what is wanted. */
export class CutOff {
  readonly #view: AgentView;
  readonly #options: CutOffOptions;
  #timer: NodeJS.Timeout | undefined;
  #over = false;
  #cut = false;
  /** Since when others answer again, ms; null: they do not. */
  #answeredAt: number | null = null;

  constructor(view: AgentView, options: CutOffOptions) {
    this.#view = view;
    this.#options = options;
    this.#again();
  }

  stop(): void {
    this.#over = true;
    clearTimeout(this.#timer);
  }

  #again(): void {
    if (this.#over) return;
    this.#timer = setTimeout(() => void this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  async #look(): Promise<void> {
    const { found, storeAway } = this.#options;
    if (nobodyAnswers(found())) {
      this.#answeredAt = null;
      if (!this.#cut && (storeAway() || (await this.#isOnlyHere())) && nobodyAnswers(found())) this.#say(true);
    } else if (this.#cut) {
      this.#answeredAt ??= performance.now();
      if (!storeAway() || performance.now() - this.#answeredAt > STORE_MS) this.#say(false);
    }
    this.#again();
  }

  /** Where nobody can be asked it is this host that is alone. */
  async #isOnlyHere(): Promise<boolean> {
    const { store, keys } = this.#options;
    try {
      const late = new Promise<null>((resolve) => setTimeout(resolve, ASK_MS, null).unref());
      const answer = await Promise.race([store.read(keys.allProbes), late]);
      if (answer === null) return true;
      const { entries } = answer;
      const records = entries.flatMap(({ key, value }) => {
        const read = readRecord("probes", key, value);
        return "record" in read ? [read.record] : [];
      });
      return othersMeet(this.#view.place.host.name, records);
    } catch {
      return true;
    }
  }

  #say(cut: boolean): void {
    if (this.#over) return;
    this.#cut = cut;
    this.#view.board.problem("peers", cut ? "no other host answers through the tunnel: this one is cut off" : null);
  }
}
