import assert from "node:assert/strict";
import { test } from "node:test";
import { effectiveConfig, parseConfig } from "../../src/control/config.ts";

const HEAD = `cluster: lab
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }]
`;
const config = (health: string, more = "", ports = "{ tcp: [80, 443] }"): string =>
  `${HEAD}services: [{ name: web, vips: [192.0.2.10], ports: ${ports}${health === "" ? "" : `, health: ${health}`} }]\n${more}`;

function good(text: string) {
  const result = parseConfig(text, "c.yaml");
  assert.ok("config" in result, "errors" in result ? result.errors.join("\n") : "");
  assert.deepEqual(parseConfig(effectiveConfig(result.config), "e.yaml"), result, "what is printed is the same");
  return result.config;
}

function errors(text: string): string[] {
  const result = parseConfig(text, "c.yaml");
  return "errors" in result ? result.errors : [];
}

test("a service with a TCP port is checked by connecting to the first, one without by asking for an echo", () => {
  const web = good(config("")).services[0]!.health;
  assert.equal(`${web.kind} ${web.port} ${web.tunnel}`, "tcp 80 tcp");
  assert.equal(`${web.interval} ${web.timeout} ${web.rise} ${web.fall} ${web.jitter}`, "1 1 2 3 0.1");
  for (const ports of ["{ udp: [53] }", "any"]) {
    const { kind, port, tunnel } = good(config("", "", ports)).services[0]!.health;
    assert.equal(`${kind} ${port} ${tunnel}`, "none null echo", ports);
  }
  const dns = good(config("{ port: 8053 }", "", "{ udp: [53] }")).services[0]!.health;
  assert.equal(`${dns.kind} ${dns.port} ${dns.tunnel}`, "tcp 8053 tcp");
});

test("what a service says of itself comes before what is said of all", () => {
  const text = config(
    '{ kind: http, path: "/up?x=1", host: www.example.com, status: [200, 204-206], body: ok, fall: 5, tunnel: http }',
    "health: { interval: 0.5, fall: 2, tunnel: { interval: 2, probers: 3 }, maxAge: off }\n",
  );
  const { health, services } = good(text);
  const web = services[0]!.health;
  assert.deepEqual(web.status, [
    { from: 200, to: 200 },
    { from: 204, to: 206 },
  ]);
  assert.equal(`${web.path} ${web.host} ${web.body} ${web.interval} ${web.fall}`, "/up?x=1 www.example.com ok 0.5 5");
  assert.equal(`${health.tunnel.interval} ${health.tunnel.probers} ${health.tunnel.fall} ${health.maxAge}`, "2 3 3 null");
});

test("a kind alone, and off", () => {
  assert.equal(good(config("http")).services[0]!.health.kind, "http");
  const { kind, tunnel } = good(config("off")).services[0]!.health;
  assert.equal(`${kind} ${tunnel}`, "none off");
  assert.deepEqual(good(config("{ kind: exec, command: [/bin/true] }")).services[0]!.health.command, ["/bin/true"]);
});

const BAD: [what: string, text: string, line: string][] = [
  ["an unknown kind", config("smtp"), 'services[0].health.kind: "smtp" is not known (one of tcp, http, exec, none)'],
  ["a misspelt key", config("{ pth: / }"), 'services[0].health.pth: unknown key (did you mean "path"?)'],
  [
    "no port to connect to",
    config("tcp", "", "any"),
    "services[0].health.port: is missing: kind: tcp needs a TCP port, and the service does not name one (write port: 80)",
  ],
  [
    "no port for the tunnel",
    config("{ tunnel: tcp }", "", "{ udp: [53] }"),
    "services[0].health.port: is missing: tunnel: tcp needs a TCP port, and the service does not name one (write port: 80)",
  ],
  [
    "HTTP through the tunnel without HTTP",
    config("{ tunnel: http }"),
    "services[0].health.tunnel: http is for services with kind: http (write kind: http, or tunnel: tcp)",
  ],
  ["no command", config("exec"), "services[0].health.command: is missing (write [/usr/local/bin/check, --fast])"],
  [
    "a command that is looked for",
    config("{ kind: exec, command: [check] }"),
    'services[0].health.command: "check" is not an absolute path (write [/usr/local/bin/check, --fast])',
  ],
  [
    "a path with a line end",
    config('{ kind: http, path: "/\\r\\nX: y" }'),
    'services[0].health.path: "/\\r\\nX: y" is not a path (write /healthz)',
  ],
  [
    "a status that is none",
    config("{ kind: http, status: 700 }"),
    "services[0].health.status: 700 is not an HTTP status or a range of them (write 200, 200-299, or a list of them)",
  ],
  [
    "no time at all",
    config("", "health: { interval: 0 }\n"),
    "health.interval: 0 is not valid here (write seconds from 0.1 to 3600, like 0.5)",
  ],
  [
    "too much chance",
    config("", "health: { tunnel: { jitter: 2 } }\n"),
    "health.tunnel.jitter: 2 is not a share (write a number from 0 to 0.5)",
  ],
];

for (const [what, text, line] of BAD) test(what, () => assert.deepEqual(errors(text), [`c.yaml: ${line}`]));
