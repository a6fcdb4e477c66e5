import assert from "node:assert/strict";
import { test } from "node:test";
import { type Reply, ReplyReader, readProtocols, refused } from "../../src/routes/bird-reply.ts";

/** As BIRD 2.0.12 sent it. */
const PROTOCOLS = `2002-Name       Proto      Table      State  Since         Info
1002-hafl_192_0_2_10 Static     master4    up     13:24:44.093  
1006-  Description:    hafl 8c1f09ab44d2
   Channel ipv4
     State:          UP
     Routes:         1 imported, 0 exported, 1 preferred
 
1002-r4         BGP        ---        start  2026-11-21 13:24:43  Active        Socket: Connection refused
1002-device1    Device     ---        up     13:24:43.091  
1006-
0000 
`;
const GREETING = "0001 BIRD 2.0.12 ready.\n";

const take = (...texts: string[]): Reply[] => {
  const reader = new ReplyReader();
  return texts.flatMap((text) => reader.take(Buffer.from(text)));
};

test("a reply is one, however its bytes come", () => {
  const whole = take(GREETING, PROTOCOLS);
  assert.deepEqual(
    whole.map(({ code, text, lines }) => [code, text, lines.length]),
    [
      [1, "BIRD 2.0.12 ready.", 1],
      [0, "", 11],
    ],
  );
  assert.deepEqual(take(...`${GREETING}${PROTOCOLS}`), whole);
});

test("protocols, with what is told of each", () => {
  assert.deepEqual(readProtocols(take(PROTOCOLS)[0]!), [
    { name: "hafl_192_0_2_10", kind: "Static", state: "up", info: "", description: "hafl 8c1f09ab44d2", routes: 1 },
    {
      name: "r4",
      kind: "BGP",
      state: "start",
      info: "Active        Socket: Connection refused",
      description: null,
      routes: 0,
    },
    { name: "device1", kind: "Device", state: "up", info: "", description: null, routes: 0 },
  ]);
});

test("what BIRD logs meanwhile is not of the reply, a refusal is one", () => {
  const [reply] = take("0002-Reading configuration from /etc/bird/bird.conf\n+<INFO> hello\n8002 bird.conf:3:1 syntax error\n");
  assert.deepEqual(
    reply!.lines.map(({ code }) => code),
    [2, 8002],
  );
  assert.ok(refused(reply!));
  assert.ok(!refused(take("0003 Reconfigured\n")[0]!));
});

test("what is no reply is refused", () => {
  for (const text of ["HTTP/1.1 400 Bad Request\r\n", " first of all a line that goes on\n", "12 \n", "\n"])
    assert.throws(() => take(text), /not what BIRD replies/, text);
  const reader = new ReplyReader();
  const line = `1002-${"x".repeat(1 << 20)}\n`;
  assert.throws(() => {
    for (let i = 0; i < 100; i++) reader.take(Buffer.from(line));
  }, /not what BIRD replies/);
});
