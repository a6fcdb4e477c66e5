import assert from "node:assert/strict";
import { test } from "node:test";
import { FINE, failed, type Standing, UNKNOWN, weigh } from "../../src/health/finding.ts";
import { pause } from "../../src/health/watch.ts";

const BAD = failed("refused", "nothing listens");
const RHYTHM = { rise: 2, fall: 3 };

/** What is held after each of the findings: + good, - bad. */
function after(findings: string, from: Standing = UNKNOWN): string {
  let standing = from;
  return [...findings]
    .map((one) => {
      standing = weigh(standing, one === "+" ? FINE : BAD, RHYTHM);
      return standing.healthy ? "+" : "-";
    })
    .join("");
}

test("the first finding decides, then it takes so many in a row", () => {
  assert.equal(after("+--+--+---+-++---"), "+++++++++----+++-");
  assert.equal(after("-+-+-++"), "------+");
});

test("the reason is of the last finding that counts", () => {
  const down = weigh(UNKNOWN, BAD, RHYTHM);
  assert.equal(weigh(down, failed("slow", "late"), RHYTHM).finding.reason, "late");
  assert.equal(weigh(down, FINE, RHYTHM).finding.reason, "nothing listens");
  const up = weigh(UNKNOWN, FINE, RHYTHM);
  assert.equal(weigh(up, BAD, RHYTHM).finding.reason, "");
});

test("findings that contradict what is held are followed by quicker ones; chance moves each a little", () => {
  const rhythm = { interval: 2, timeout: 1, rise: 2, fall: 3, jitter: 0.1 };
  const up = weigh(UNKNOWN, FINE, rhythm);
  assert.deepEqual(
    [0, 0.5, 1].map((chance) => Math.round(pause(up, rhythm, chance))),
    [1800, 2000, 2200],
  );
  assert.equal(Math.round(pause(weigh(up, BAD, rhythm), rhythm, 0.5)), 500);
});
