/** Prometheus's own judgement of metrics. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** In the PATH, else where netns-scripts/promtool.sh unpacks it. */
const FOUND = ["promtool", fileURLToPath(new URL("../../tools/usr/bin/promtool", import.meta.url))].find(
  (program) => spawnSync(program, ["--version"]).status === 0,
);

/** Why it cannot be asked, for the `skip` of a test; false when it can. */
export const promtoolObstacle: string | false = FOUND === undefined ? "promtool is not installed (package prometheus)" : false;

/** What it finds wrong with the text of metrics, a line each; also what it only would have otherwise. */
export function promtool(text: string): string[] {
  const { status, stdout, stderr } = spawnSync(FOUND!, ["check", "metrics"], { input: text, encoding: "utf8" });
  const lines = `${stdout}${stderr}`.split("\n").filter((line) => line !== "");
  return status === 0 || lines.length > 0 ? lines : [`ended with ${status}`];
}
