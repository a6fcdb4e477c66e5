/** What a config says about the conductor: who may be it, and how patient it is. */
import { z } from "zod";
import { bad, expected, name, object, type Read, read, whole } from "./config-fields.ts";
import { show } from "./config-problem.ts";

export interface ConductorConfig {
  /** Hosts whose agents stand for election; null: all. */
  readonly candidates: readonly string[] | null;
  /** How long after its last sign of life a conductor is replaced. */
  readonly leaseSeconds: number;
  /** How long a host must be unhealthy without a break before it gets no new connections. */
  readonly holdMs: number;
  /** How long it must be healthy without a break before it gets them again; doubled with every time it went down. */
  readonly riseSeconds: number;
  /** A host that flaps is held down so long at most. */
  readonly riseMaxSeconds: number;
  /** One time that a host went down is forgotten after so long without another. */
  readonly flapDecaySeconds: number;
  /** Changes of a pool for reasons of health and load, at most. */
  readonly changesPerMinute: number;
  /** When more than this share of a pool turns unhealthy within a minute it is frozen. */
  readonly freezeShare: number;
}

/** Reads `all` or a list of names; null stands for all. */
function readCandidates(input: unknown): Read<readonly string[] | null> {
  if (input === undefined || input === "all") return { value: null };
  if (!Array.isArray(input)) return bad(`${show(input)} is not a list of hosts (write all, [s1, s2], or [] for none)`);
  const problems = input.flatMap((host, i) => {
    if (!name.safeParse(host).success)
      return [{ path: [i], text: `${show(host)} is not a host's name (write the name of one of \`hosts\`)` }];
    return input.indexOf(host) < i ? [{ path: [i], text: `"${host}" is a candidate already (remove one)` }] : [];
  });
  return problems.length > 0 ? { problems } : { value: input as string[] };
}

const CONDUCTOR = {
  candidates: read(readCandidates),
  leaseSeconds: whole(2, 60).default(5),
  holdMs: whole(0, 60_000).default(1000),
  riseSeconds: whole(0, 3600).default(5),
  riseMaxSeconds: whole(0, 86_400).default(600),
  flapDecaySeconds: whole(1, 86_400).default(300),
  changesPerMinute: whole(1, 600).default(20),
  freezeShare: z
    .custom<number>(
      (x) => typeof x === "number" && x > 0 && x <= 1,
      expected("a share", "write a number above 0 up to 1, like 0.34"),
    )
    .default(1 / 3),
};
export const CONDUCTOR_KEYS = Object.keys(CONDUCTOR);

export const conductor = object(CONDUCTOR, "{ riseSeconds: 5 }")
  .refine(
    ({ riseSeconds, riseMaxSeconds }) => riseSeconds <= riseMaxSeconds,
    "riseMaxSeconds is less than riseSeconds (write a larger riseMaxSeconds)",
  )
  .prefault({});
