/** Waiting for something to become true. */
import { setTimeout as sleep } from "node:timers/promises";

/** Asks every `everyMs` until the answer is not null; null when `timeoutMs` has passed or `signal` was raised. */
export async function pollFor<T>(
  ask: () => Promise<T | null> | T | null,
  timeoutMs: number,
  everyMs = 20,
  signal?: AbortSignal,
): Promise<T | null> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() >= until || signal?.aborted) return null;
    await sleep(everyMs);
  }
}
