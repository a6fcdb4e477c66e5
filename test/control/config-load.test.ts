import assert from "node:assert/strict";
import { test } from "node:test";
import { type Config, effectiveConfig, parseConfig } from "../../src/control/config.ts";

const BASE = `
cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }]
`;
const service = (load: string): string => `services: [{ name: web, vips: [192.0.2.10], ports: { tcp: 80 }${load} }]\n`;

function good(text: string): Config {
  const result = parseConfig(BASE + text, "f");
  assert.ok("config" in result, JSON.stringify(result));
  return result.config;
}

function errors(text: string): readonly string[] {
  const result = parseConfig(BASE + text, "f");
  assert.ok("errors" in result);
  return result.errors;
}

test("load: every default, and what is said", () => {
  const { load, services } = good(service(""));
  assert.deepEqual(load, {
    control: "on",
    intervalSeconds: 30,
    averageSeconds: 20,
    settleSeconds: 60,
    gain: 0.25,
    step: 0.1,
    deadBand: 0.03,
    idle: 0.2,
    floor: 0.1,
    ceiling: 4,
    overload: 0.95,
    cgroup: null,
  });
  assert.equal(services[0]!.load, null);
  const said = good("load: { control: off, intervalSeconds: 5, floor: 0.5, cgroup: /system.slice//nginx.service/ }\n").load;
  assert.deepEqual([said.control, said.intervalSeconds, said.floor, said.cgroup], ["off", 5, 0.5, "system.slice/nginx.service"]);
});

test("a service's own load: a command or a query of Prometheus", () => {
  const command = good(service(', load: { command: [/bin/busy, "{host}"], timeoutSeconds: 2 }'));
  assert.deepEqual(command.services[0]!.load, {
    command: ["/bin/busy", "{host}"],
    prometheus: null,
    query: null,
    intervalSeconds: 10,
    timeoutSeconds: 2,
  });
  const query = good(service(', load: { prometheus: "http://10.0.1.5:9090", query: "sum(busy)" }'));
  assert.equal(query.services[0]!.load!.query, "sum(busy)");
  for (const config of [command, query]) {
    const again = parseConfig(effectiveConfig(config), "again");
    assert.ok("config" in again, JSON.stringify(again));
    assert.deepEqual(again.config, config);
  }
});

test("mistakes are named with their place and the remedy", () => {
  const cases: [string, string][] = [
    ["load: { contrl: on }\n", 'f: load.contrl: unknown key (did you mean "control"?)'],
    ["load: { control: maybe }\n", 'f: load.control: "maybe" is not known (one of on, off)'],
    ["load: { gain: 0 }\n", "f: load.gain: 0 is not valid here (write a number from 0.01 to 1)"],
    ["load: { deadBand: x }\n", 'f: load.deadBand: "x" is not valid here (write a number from 0.001 to 1)'],
    ["load: { ceiling: 0.5 }\n", "f: load.ceiling: 0.5 is not valid here (write a number from 1 to 1000)"],
    [
      "load: { cgroup: a/../../b }\n",
      'f: load.cgroup: "a/../../b" is not a control group (write system.slice/nginx.service, as /proc/PID/cgroup has it)',
    ],
    [service(", load: {}"), "f: services[0].load: asks nothing (write command: [...], or prometheus: and query:)"],
    [
      service(", load: { command: [a], query: b }"),
      "f: services[0].load: asks two ways (remove command, or prometheus and query)",
    ],
    [service(", load: { query: b }"), "f: services[0].load.prometheus: is missing (write http://10.0.1.5:9090)"],
    [
      service(', load: { prometheus: "http://a" }'),
      "f: services[0].load.query: is missing (write the text of a PromQL expression)",
    ],
    [
      service(', load: { prometheus: "ftp://a", query: b }'),
      'f: services[0].load.prometheus: "ftp://a" is not the address of a Prometheus (write http://10.0.1.5:9090)',
    ],
    [service(", load: { command: [] }"), 'f: services[0].load.command: no command (write [/usr/local/bin/busy, "{host}"])'],
    [
      service(", load: { command: busy }"),
      'f: services[0].load.command: "busy" is not a list of words (write [/usr/local/bin/busy, "{host}"])',
    ],
    [service(", load: { comand: [a] }"), 'f: services[0].load.comand: unknown key (did you mean "command"?)'],
  ];
  for (const [text, line] of cases) assert.equal(errors(text)[0], line, text);
});
