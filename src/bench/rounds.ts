/** Rounds of a part: every path once in each, in an order that is another in each, so that what disturbs the machine disturbs all alike. */
import type { Figures } from "./figures.ts";
import type { Part, Run, Sample } from "./part.ts";
import type { Path } from "./paths.ts";
import { witnessed } from "./witness.ts";

/** The list begun at another place. */
const rotated = <T>(list: readonly T[], by: number): T[] => list.map((_, i) => list[(i + by) % list.length]!);

/** Says what a path was just measured at. */
export type OnSample = (round: number, path: Path, sample: Sample) => void;

/** Measures a part on these of its paths. `haproxy`: HAProxy runs, and is asked what it did. */
export async function measurePart(
  part: Part,
  paths: readonly Path[],
  run: Run,
  rounds: number,
  haproxy: boolean,
  figures: Figures,
  onSample: OnSample,
): Promise<void> {
  const { stand, seconds, smoke } = run;
  if (!smoke && part.warmUp > 0) for (const path of paths) await part.measure(run, path, part.warmUp);
  for (let round = 0; round < (part.once ? 1 : rounds); round++) {
    for (const path of rotated(paths, round)) {
      stand.signal.throwIfAborted();
      const sample = await witnessed(stand, path, haproxy, () => part.measure(run, path, seconds));
      for (const [name, value] of Object.entries(sample)) figures.add(part, name, path.name, value);
      onSample(round, path, sample);
    }
  }
}
