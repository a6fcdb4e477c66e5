import assert from "node:assert/strict";
import { test } from "node:test";
import { HttpAnswer, requestFor, type Wanted } from "../../src/health/http-answer.ts";

const wanted = (changes: Partial<Wanted> = {}): Wanted => ({
  path: "/up",
  host: null,
  status: [{ from: 200, to: 299 }],
  body: null,
  ...changes,
});
const OK = "HTTP/1.1 200 OK\r\n";

/** What a response is worth, when it comes in pieces of that size and then ends. */
function worth(response: string, want: Partial<Wanted>, size: number): string {
  const answer = new HttpAnswer(wanted(want));
  const bytes = Buffer.from(response, "utf8");
  for (let at = 0; at < bytes.length; at += size) {
    const finding = answer.take(bytes.subarray(at, at + size));
    if (finding !== null) return finding.reason || "fine";
  }
  return `at its end ${answer.end().reason || "fine"}`;
}

const CASES: [what: string, response: string, want: Partial<Wanted>, worth: string][] = [
  ["a good status", `${OK}\r\n`, {}, "fine"],
  ["no body is waited for unless one is wanted", OK, {}, "fine"],
  ["a bad status", "HTTP/1.1 503 Service Unavailable\r\n", {}, "HTTP 503, wanted 200-299"],
  ["a status without words, HTTP/1.0", "HTTP/1.0 204\r\n", {}, "fine"],
  [
    "an interim response first",
    `HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 500 No\r\n`,
    {},
    "HTTP 500, wanted 200-299",
  ],
  ["the body", `${OK}Content-Length: 6\r\n\r\nall ok`, { body: "ok" }, "fine"],
  ["another body", `${OK}content-length: 7\r\n\r\nall bad`, { body: "ok" }, 'the body does not hold "ok"'],
  [
    "what is wanted stands in the headers only",
    `${OK}X: ok\r\nContent-Length: 1\r\n\r\nx`,
    { body: "ok" },
    'the body does not hold "ok"',
  ],
  [
    "a body in chunks, cut in the middle of a word",
    `${OK}Transfer-Encoding: chunked\r\n\r\n5;x=1\r\nall o\r\n1\r\nk\r\n0\r\n\r\n`,
    { body: "all ok" },
    "fine",
  ],
  [
    "chunks without it",
    `${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n0\r\n\r\n`,
    { body: "ok" },
    'the body does not hold "ok"',
  ],
  ["a body up to the end of the connection", `${OK}\r\nbad`, { body: "ok" }, 'at its end the body does not hold "ok"'],
  ["letters beyond ASCII", `${OK}Content-Length: 4\r\n\r\ngrün`, { body: "grü" }, "fine"],
  [
    "a body that is cut off",
    `${OK}Content-Length: 60\r\n\r\nbad`,
    { body: "ok" },
    "at its end the connection ended before the response did",
  ],
  ["headers that are cut off", `${OK}Content-Le`, { body: "ok" }, "at its end the connection ended before the response did"],
  ["nothing", "", {}, "at its end the connection ended before the response did"],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n", {}, "the response is not HTTP"],
  ["another protocol, without a line", "\x15\x03\x01\x00\x02\x02\x16", {}, "the response is not HTTP"],
  ["a body without end", `${OK}\r\n${"x".repeat(70_000)}`, { body: "ok" }, 'the body does not hold "ok"'],
  ["headers without end", `${OK}X: ${"x".repeat(70_000)}`, { body: "ok" }, "headers of more than 65536 bytes"],
];

for (const [what, response, want, expected] of CASES) {
  test(what, () => {
    for (const size of response.length > 10_000 ? [1400] : [1, 7, 1400])
      assert.equal(worth(response, want, size), expected, `${size} bytes at a time`);
  });
}

test("the request", () => {
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("latin1");
  assert.match(
    text(requestFor(wanted(), "[2001:db8::10]:8080")),
    /^GET \/up HTTP\/1\.1\r\nHost: \[2001:db8::10\]:8080\r\n[\s\S]*\r\n\r\n$/,
  );
  assert.match(text(requestFor(wanted({ host: "www.example.com" }), "192.0.2.10")), /\r\nHost: www\.example\.com\r\n/);
});
