/** What keeps routes from being announced that should be, in one line for people. Pure. */
import type { BirdState } from "./bird.ts";
import type { RouteProtocol } from "./snippet.ts";

/** The first thing that is wrong with BIRD, with its remedy; null: nothing. `file` is the one it should include. */
export function troubleWith(
  { ours, sessions, refusal }: BirdState,
  protocols: readonly RouteProtocol[],
  announced: ReadonlySet<string>,
  file: string,
): string | null {
  if (refusal !== null) return `BIRD refuses its config and goes on with the one before: ${refusal}`;
  const missing = protocols.find(({ name, description }) => ours.get(name)?.description !== description);
  if (missing !== undefined) {
    const seen = ours.has(missing.name) ? "has another protocol" : "has no protocol";
    return `BIRD ${seen} ${missing.name}: its config does not include ${file} (see \`bgp\` in the README)`;
  }
  const idle = protocols.find(({ name }) => announced.has(name) && ours.get(name)!.state !== "up");
  if (idle !== undefined) return `BIRD's protocol ${idle.name} is ${ours.get(idle.name)!.state}`;
  const empty = protocols.find(({ name }) => announced.has(name) && ours.get(name)!.routes === 0);
  if (empty !== undefined)
    return `BIRD makes no route of ${empty.name}: it does not see the agent's TUN (its config needs \`protocol device {}\`)`;
  if ([...sessions.values()].includes("Established")) return null;
  const list = [...sessions].map(([name, state]) => `${name} ${state}`).join(", ");
  return `no BGP session of BIRD is established (${list || "its config has none"}): nobody hears of the routes`;
}
