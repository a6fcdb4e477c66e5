import assert from "node:assert/strict";
import { test } from "node:test";
import { HttpAnswer } from "../../src/health/http-answer.ts";
import type { Segment } from "../../src/health/probe-packet.ts";
import { TcpDialogue } from "../../src/health/tcp-dialogue.ts";

const [FIN, SYN, RST, PSH, ACK] = [0x01, 0x02, 0x04, 0x08, 0x10];
const NOTHING = new Uint8Array(0);
const text = (words: string): Uint8Array => Buffer.from(words);
/** So near to the end of sequence numbers that they begin anew. */
const FIRST = 0xfffffffe;
const THEIRS = 0xffffff00;
const REQUEST = text("GET / HTTP/1.1\r\n\r\n");
const OK = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nall ok";

const segment = (flags: number, sequence: number, acknowledgment: number, payload: Uint8Array = NOTHING): Segment => ({
  flags,
  sequence: sequence >>> 0,
  acknowledgment: acknowledgment >>> 0,
  payload,
});
const accepted = segment(SYN | ACK, THEIRS, FIRST + 1);
const plain = (): TcpDialogue => new TcpDialogue("192.0.2.10 port 80", FIRST, null);
function wordy(): TcpDialogue {
  const wanted = { path: "/", host: null, status: [{ from: 200, to: 299 }], body: "all ok" };
  return new TcpDialogue("192.0.2.10 port 80", FIRST, { request: REQUEST, answer: new HttpAnswer(wanted) });
}
/** A dialogue that has sent its request. */
function asked(): TcpDialogue {
  const dialogue = wordy();
  assert.deepEqual(dialogue.take(accepted), [segment(ACK | PSH, FIRST + 1, THEIRS + 1, REQUEST)]);
  return dialogue;
}
const END = FIRST + 1 + REQUEST.length;

test("half-open: a SYN, and a reset for what accepts it", () => {
  const dialogue = plain();
  assert.deepEqual(dialogue.pending, segment(SYN, FIRST, 0));
  assert.deepEqual(dialogue.take(accepted), [segment(RST | ACK, FIRST + 1, THEIRS + 1)]);
  assert.equal(dialogue.finding?.outcome, "answered");
  assert.deepEqual(dialogue.take(accepted), [], "what comes twice");
});

test("a reset of our SYN, and only of ours", () => {
  const dialogue = plain();
  assert.deepEqual(dialogue.take(segment(RST | ACK, 0, FIRST)), []);
  assert.deepEqual(dialogue.take(segment(RST, 0, FIRST + 1)), []);
  assert.equal(dialogue.finding, null);
  dialogue.take(segment(RST | ACK, 0, FIRST + 1));
  assert.deepEqual(dialogue.finding, { outcome: "refused", reason: "nothing listens on 192.0.2.10 port 80" });
});

test("a connection of old that is still there is reset, and the SYN goes again", () => {
  const dialogue = plain();
  assert.deepEqual(dialogue.take(segment(ACK, 77, 99)), [segment(RST, 99, 0)]);
  assert.deepEqual(dialogue.pending, segment(SYN, FIRST, 0));
  dialogue.take(accepted);
  assert.equal(dialogue.finding?.outcome, "answered");
});

test("a response in pieces: each is acknowledged, the last is followed by a reset", () => {
  const dialogue = asked();
  const [one, two] = [text(OK.slice(0, 20)), text(OK.slice(20))];
  assert.deepEqual(dialogue.take(segment(ACK, THEIRS + 1, END)), [], "an acknowledgment alone");
  assert.deepEqual(dialogue.take(segment(ACK, THEIRS + 1, END, one)), [segment(ACK, END, THEIRS + 21)]);
  assert.deepEqual(dialogue.take(segment(ACK | PSH, THEIRS + 21, END, two)), [segment(RST | ACK, END, THEIRS + 1 + OK.length)]);
  assert.equal(dialogue.finding?.outcome, "answered");
});

test("what is out of order, comes twice, or overlaps", () => {
  const dialogue = asked();
  const have = (to: number): Segment[] => [segment(ACK, END, THEIRS + 1 + to)];
  assert.deepEqual(dialogue.take(segment(ACK, THEIRS + 21, END, text(OK.slice(20)))), have(0), "too early");
  assert.deepEqual(dialogue.take(segment(ACK, THEIRS + 1, END, text(OK.slice(0, 20)))), have(20));
  assert.deepEqual(dialogue.take(segment(ACK, THEIRS + 1, END, text(OK.slice(0, 20)))), have(20), "twice");
  assert.deepEqual(dialogue.take(segment(ACK, THEIRS + 11, END, text(OK.slice(10, 30)))), have(30), "overlapping");
  assert.deepEqual(dialogue.take(accepted), have(30), "the SYN, ACK again");
  dialogue.take(segment(ACK, THEIRS + 31, END, text(OK.slice(30))));
  assert.equal(dialogue.finding?.outcome, "answered");
});

test("the connection ends, is broken off, or falls silent", () => {
  const ended = asked();
  ended.take(segment(ACK | FIN, THEIRS + 1, END, text(OK.slice(0, 20))));
  assert.deepEqual(ended.finding, { outcome: "broken", reason: "the connection ended before the response did" });
  const broken = asked();
  broken.take(segment(RST, THEIRS + 500, END));
  assert.equal(broken.finding, null, "a reset that is none of this connection's");
  broken.take(segment(RST, THEIRS + 1, END));
  assert.deepEqual(broken.finding, { outcome: "broken", reason: "192.0.2.10 port 80 broke the connection off" });
  const silent = asked();
  assert.equal(silent.late("within 1 s")?.outcome, "slow");
  assert.deepEqual(silent.giveUp(), [segment(RST | ACK, END, THEIRS + 1)]);
  assert.equal(plain().late("within 1 s"), null);
  assert.deepEqual(plain().giveUp(), []);
});
