/** Writes pcap-fixtures/ from the cases: `node dist/test/support/make-fixtures.js`. */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { LINKTYPE_ETHERNET, LINKTYPE_RAW, writeCapture } from "../../src/io/pcap.ts";
import { DIRECTOR_CASES } from "./director-cases.ts";
import { EGRESS_CASES } from "./egress-cases.ts";
import { CONFIG, type Fixture, HOST } from "./fixture.ts";
import { FRAGMENT_CASES } from "./fragment-cases.ts";
import { MATCHING_CASES } from "./matching-cases.ts";
import { MTU_CASES } from "./mtu-cases.ts";
import { QUIC_CASES } from "./quic-cases.ts";
import { TARGET_CASES } from "./target-cases.ts";

export const CASES: readonly Fixture[] = [
  ...DIRECTOR_CASES,
  ...TARGET_CASES,
  ...EGRESS_CASES,
  ...QUIC_CASES,
  ...MATCHING_CASES,
  ...MTU_CASES,
  ...FRAGMENT_CASES,
];
export const FIXTURES_DIR = fileURLToPath(new URL("../../../pcap-fixtures", import.meta.url));

const START_US = 1_700_000_000_000_000;

const timed = (packets: readonly (readonly [Uint8Array, number])[]): { bytes: Uint8Array; time: number }[] =>
  packets.map(([bytes, time]) => ({ bytes, time }));

/** When each step comes, microseconds. */
function timesOf(fixture: Fixture): number[] {
  let time = START_US;
  return fixture.steps.map(({ after = 1 }, i) => {
    if (i > 0) time += after * 1000;
    return time;
  });
}

const FROM_THE_CARD = `
Some packets are super-segments: what their virtio headers say, by the words of packet-io.ts, is in expected.json. A capture cannot
tell it.
`;

function readme(fixture: Fixture): string {
  const offloads = fixture.steps.some((step) => step.offloads !== undefined) ? FROM_THE_CARD : "";
  const verdicts = fixture.steps
    .map((step, i) => `| ${i + 1} | ${[step.verdict].flat().join(", ") || "held"} | ${step.out?.length ?? 0} |`)
    .join("\n");
  return `# ${fixture.name}

${fixture.shows}

Run on host ${HOST} as ${fixture.role}. Made by \`test/support/make-fixtures.ts\`, whose packets are written from the RFCs
without the product's code; only the outer source port comes from its flow hash.
${offloads}
| packet | verdict | leave |
|---|---|---|
${verdicts}
`;
}

/** The files of a case, by name. */
export function filesOf(fixture: Fixture): Record<string, string | Uint8Array> {
  const link = fixture.link === "ethernet" ? LINKTYPE_ETHERNET : LINKTYPE_RAW;
  const times = timesOf(fixture);
  const mtu = fixture.mtu === undefined ? {} : { mtu: fixture.mtu };
  const verdicts = fixture.steps.map((step) => step.verdict);
  const offloads = fixture.steps.map((step) => step.offloads ?? {});
  const offloaded = offloads.some((words) => Object.keys(words).length > 0) ? { offloads } : {};
  const expected = { role: fixture.role, host: HOST, ...mtu, verdicts, ...offloaded };
  return {
    "README.md": readme(fixture),
    "config.yaml": fixture.config ?? CONFIG,
    "expected.json": `${JSON.stringify(expected, null, 2)}\n`,
    "in.pcap": writeCapture(timed(fixture.steps.map((step, i) => [step.in, times[i]!])), link),
    "out.pcap": writeCapture(
      timed(fixture.steps.flatMap((step, i) => (step.out ?? []).map((packet) => [packet, times[i]!] as const))),
    ),
  };
}

function main(): void {
  rmSync(FIXTURES_DIR, { recursive: true, force: true });
  for (const fixture of CASES) {
    const dir = join(FIXTURES_DIR, fixture.name);
    mkdirSync(dir, { recursive: true });
    for (const [name, content] of Object.entries(filesOf(fixture))) writeFileSync(join(dir, name), content);
  }
  process.stdout.write(`${CASES.length} cases in ${FIXTURES_DIR}\n`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
