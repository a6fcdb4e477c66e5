import assert from "node:assert/strict";
import { test } from "node:test";
import type { ChurnReport } from "../../src/lab/churn.ts";
import { ChurnRecord } from "../../src/lab/churn-record.ts";
import { renderChurn } from "../../src/lab/churn-report.ts";

/** 10 s of drain time; s2 drains from 1,000 on, s3 goes down at 20,000. */
function recorded(): ChurnRecord {
  const record = new ChurnRecord(10);
  const open = (session: string, host: string, at: number): void => record.take({ event: "open", session, host, at });
  const broken = (session: string, at: number): void => record.take({ event: "broken", session, why: "ECONNRESET", at });
  for (const session of ["tcp a", "tcp b", "udp c"]) open(session, "s1", 0);
  for (const session of ["tcp d", "tcp e", "udp f"]) open(session, "s2", 0);
  open("udp g", "s3", 0);
  record.turn("s2", "draining", 1_000);
  record.turn("s3", "down", 20_000);
  broken("tcp a", 5_000);
  broken("tcp d", 5_000);
  broken("udp f", 11_000);
  broken("udp g", 20_500);
  record.take({ event: "closed", session: "tcp e" });
  record.take({ event: "failed", session: "udp h", why: "no answer", at: 6_000 });
  record.take({ event: "end", answered: 500, datagrams: 300, lost: 2 });
  record.take({ event: "end", answered: 400, datagrams: 200, lost: 1 });
  return record;
}

test("what broke is told by protocol and by what its host did", () => {
  const record = recorded();
  const none = { opened: 0, staying: 0, early: 0, drained: 0, down: 0, failedToOpen: 0 };
  assert.deepEqual(record.outcome("tcp"), { ...none, opened: 4, staying: 1, early: 1 });
  assert.deepEqual(record.outcome("udp"), { ...none, opened: 3, drained: 1, down: 1, failedToOpen: 1 });
  assert.deepEqual([record.opened, record.answered, record.datagrams, record.lost], [7, 900, 500, 3]);
  assert.deepEqual(record.openOn(), ["tcp b", "udp c"]);
});

test("the report has changes, sessions, loss and hops", () => {
  const record = recorded();
  const report: ChurnReport = {
    seconds: 30,
    connections: 4,
    everySeconds: 5,
    drainSeconds: 10,
    flowTable: true,
    opened: record.opened,
    answered: record.answered,
    datagrams: record.datagrams,
    lostDatagrams: record.lost,
    broken: { staying: 1, early: 1, drained: 1, down: 1 },
    failedToOpen: 1,
    sessions: { tcp: record.outcome("tcp"), udp: record.outcome("udp") },
    drains: [{ host: "s2", sessions: 4, lived: 2 }],
    changes: [
      { at: 1, what: "s2 draining", moved: 250, buckets: 1000, tookMs: 90 },
      { at: 6, what: "s1 weight 2", moved: 100, buckets: 1000, tookMs: 120 },
    ],
    routed: 3,
    hops: [600, 70, 8, 2],
    verdicts: { delivered: 1000, forwarded: 680, next_hop: 80, malformed: 0 },
    faults: ["tcp a of s1 broke"],
  };
  const lines = renderChurn(report).split("\n");
  const has = (...patterns: readonly RegExp[]): void => {
    for (const pattern of patterns)
      assert.ok(
        lines.some((line) => pattern.test(line)),
        `${pattern} in\n${lines.join("\n")}`,
      );
  };
  has(/^1\.0 s +s2 draining +250 +25\.0 % +90$/, /^2 changes of the hosts, each on every agent within 120 ms; 3 of/);
  has(/^opened +4 +3$/, /^broken, host stays +1 +0$/, /^ended, drain time over +0 +1$/, /^could not be opened +0 +1$/);
  has(/^datagrams unanswered \(0\.600 %\) +3$/, /^s2 +4 +2$/);
  has(/^0 +320$/, /^1 +600$/, /^2 +70$/, /^3 +8$/, /^4 and more +2$/);
  has(/^tcp a of s1 broke$/);
});
