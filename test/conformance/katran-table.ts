/** The table of all of Katran's cases, and katran.md as written from it: `node dist/test/conformance/katran-table.js`. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { BALANCING, IP_IN_IP } from "./katran-balancing.ts";
import { FEATURES } from "./katran-features.ts";
import type { Expect, Row } from "./katran-row.ts";

export const TABLE: readonly Row[] = [...BALANCING, ...FEATURES];
export const MARKDOWN = fileURLToPath(new URL("../../../test/conformance/katran.md", import.meta.url));

const STATUSES = ["same", "different", "not applicable"] as const;

function ours(expect: Expect | null): string {
  if (expect === null) return "-";
  if (expect.kind === "dropped") return `dropped: ${expect.verdict}`;
  if (expect.kind === "told") return `source told: MTU ${expect.mtu}`;
  if (expect.kind === "fragmented") return "forwarded in fragments";
  if (expect.kind === "kernel") return "left to the kernel";
  return expect.kind === "sent" ? `forwarded over IPv${expect.family}` : "delivered";
}

const count = (rows: readonly Row[], status: Row["status"]): number => rows.filter((row) => row.status === status).length;

const tableOf = (head: readonly string[], lines: readonly (readonly (string | number)[])[]): string =>
  [head, head.map(() => "---"), ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");

/** katran.md. */
export function markdown(): string {
  const files = [...new Set(TABLE.map(({ file }) => file))].sort();
  const inFile = (file: string): Row[] => TABLE.filter((row) => row.file === file);
  const totals = files.map((file) => [file, ...STATUSES.map((status) => count(inFile(file), status))]);
  const sum = ["**all**", ...STATUSES.map((status) => count(TABLE, status))];
  const alike = TABLE.filter(({ reason }) => reason === IP_IN_IP).length;
  const sections = files.map((file) => {
    const lines = inFile(file).map(({ n, what, status, expect, reason }) => [n, what, status, ours(expect), reason]);
    return `## ${file}\n\n${tableOf(["case", "packet", "status", "ours", "why"], lines)}\n`;
  });
  return `# Katran's cases

All ${TABLE.length} of them, in ${files.length} files. *Same* and *different* ones are run by \`katran.test.ts\` through the pipeline in the order of their
file: verdict, inner bytes, outer IP version, TOS, and that packets of a flow stay with one host. Which host that is differs: the hash is our
own. *Different* asserts what we do; ${alike} of those are the same but for the wrapper, GUE instead of IP-in-IP. *Not applicable* is what lies outside layer-4 balancing over GUE.

The packets are reference data of another licence and are not in this repository: the test reads them next to it and is skipped without.
Written by \`node dist/test/conformance/katran-table.js\`.

${tableOf(["file", ...STATUSES], [...totals, sum])}

${sections.join("\n")}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) writeFileSync(MARKDOWN, markdown());
