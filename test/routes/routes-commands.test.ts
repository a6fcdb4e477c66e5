/** What a BIRD is told that only listens and answers. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, test } from "node:test";
import type { AgentView } from "../../src/control/attendant.ts";
import type { Config } from "../../src/control/config.ts";
import { FitnessBoard } from "../../src/control/fitness.ts";
import type { Reports } from "../../src/routes/announce.ts";
import type { ReportReader } from "../../src/routes/reports.ts";
import { Routes, snippetPath } from "../../src/routes/routes.ts";
import { configOf } from "../support/fixture.ts";
import { until } from "../support/netns.ts";

const dir = mkdtempSync(join(tmpdir(), "hafl-routes-"));
const runtimeDir = join(dir, "s1");
mkdirSync(runtimeDir);
after(() => rmSync(dir, { recursive: true }));

const yaml = (bgp = ""): string => `
cluster: c
seed: 0123456789abcdef0123456789abcdef
hosts: [{ name: s1, dip: 10.0.1.11 }, { name: s2, dip: 10.0.1.12 }]
services: [{ name: web, vips: [192.0.2.10], ports: { tcp: [80] } }]
bgp: { socket: ${join(dir, "bird.ctl")}, withdrawDelay: 0${bgp} }
`;

/** Commands that it was given, looks left out, and who is connected. */
let told: string[] = [];
let connected: Socket[] = [];
let protocols = new Map<string, { description: string; up: boolean }>();
/** How often it was looked at. */
let looks = 0;
/** Whether its config includes our file. */
let includes = true;
/** Answers are held back while there is one. */
let held: Promise<void> | null = null;
let server: Server;

function answer(command: string): string {
  const [verb, name = ""] = command.replaceAll('"', "").split(" ");
  const all = command.startsWith("show protocols all");
  if (command === "show protocols") looks++;
  const rows = [...protocols].map(([one, { description, up }]) => {
    const details = `1006-  Description:    ${description}\n1006-    Routes:         ${up ? 1 : 0} imported, 0 exported\n`;
    return `1002-${one} Static master4 ${up ? "up" : "down"} 13:24:43\n${all ? details : ""}`;
  });
  if (verb === "show") return `${rows.join("")}${all ? "" : "1002-r1 BGP --- up 13:24:43 Established\n"}0000 \n`;
  told.push(command);
  if (verb === "configure" && includes) {
    const text = readFileSync(snippetPath(runtimeDir), "utf8");
    const found = text.matchAll(/^protocol static (\S+) \{\n {2}description "(.*)";\n( {2}disabled;)?/gm);
    protocols = new Map(
      [...found].map(([, one, description, off]) => [one!, { description: description!, up: off === undefined }]),
    );
  }
  for (const [one, state] of protocols) if (one === name || name.endsWith("*")) state.up = verb === "enable";
  return "0000 \n";
}

beforeEach(async () => {
  [told, connected, held, includes] = [[], [], null, true];
  protocols = new Map();
  server = createServer((socket) => {
    connected.push(socket.on("error", () => {}));
    socket.write("0001 BIRD ready.\n");
    socket.on("data", (bytes) => {
      const text = bytes.toString().trim().split("\n").map(answer).join("");
      void (held ?? Promise.resolve()).then(() => socket.write(text));
    });
  }).listen(join(dir, "bird.ctl"));
  await once(server, "listening");
});
afterEach(async () => {
  held = null;
  for (const agent of agents.splice(0)) await agent.routes.stop(false);
  for (const socket of connected) socket.destroy();
  server.close();
});

const agents: Agent[] = [];
class Agent {
  current: Config = configOf(yaml());
  readonly board = new FitnessBoard();
  readonly routes: Routes;
  reports: Reports = null;
  /** Tells of a reading of the store that was under way. */
  arrived: (() => void) | null = null;

  constructor() {
    const say = (): void => {};
    const view = {
      board: this.board,
      runtimeDir,
      log: { info: say, warn: say, error: say },
      place: { instance: "s1", host: this.current.hosts[0] },
      config: () => this.current,
    } as unknown as AgentView;
    const reports = {
      latest: (_: number, arrived: () => void) => {
        this.arrived = arrived;
        return this.reports;
      },
    } as unknown as ReportReader;
    this.routes = new Routes(view, { reports });
    this.routes.start();
    agents.push(this);
  }

  announces = (): Promise<void> => until("it announces", () => this.board.routes?.announced.length === 1);
}

test("a config with another time to hold or to leave withdraws nothing", async () => {
  const agent = new Agent();
  await agent.announces();
  told = [];
  const before = looks;
  agent.current = configOf(yaml(", holdSeconds: 1"));
  agent.routes.changed();
  await until("it has looked by that config", () => looks >= before + 2);
  assert.deepEqual(told, []);
  await agent.routes.stop(false);
  assert.deepEqual(told, ['disable "hafl_*"']);
});

test("one whose place another process has taken tells BIRD nothing more, whatever was still to be looked at", async () => {
  const agent = new Agent();
  await agent.announces();
  // How others are only matters to a host with too much to do.
  agent.board.problem("overload", "more than 95 % of the CPUs is used");
  await until("reports are asked for", () => agent.arrived !== null);
  const before = looks;
  let goOn: () => void = () => {};
  held = new Promise((resolve) => {
    goOn = resolve;
  });
  told = [];
  agent.routes.changed();
  await until("it looks", () => looks > before);
  // Something else changes while BIRD is busy.
  agent.routes.changed();
  const stopped = agent.routes.stop(true);
  goOn();
  await stopped;
  const connections = connected.length;
  agent.arrived?.();
  await agent.routes.leaving();
  assert.deepEqual([told, connected.length], [[], connections]);
});

test("a host with too much to do is unfit on the board as for its routes: once others have room", async () => {
  const agent = new Agent();
  await agent.announces();
  agent.board.problem("overload", "more than 95 % of the CPUs is used");
  await until("reports are asked for", () => agent.arrived !== null);
  assert.deepEqual([...agent.board.unfit.keys()], []);
  const report = (host: string, cpu: number) =>
    [host, { host, problems: {}, services: {}, load: { cpu }, announced: ["192.0.2.10"] }] as const;
  agent.reports = new Map([report("s1", 0.6), report("s2", 0.1)]) as unknown as Reports;
  agent.arrived!();
  await until("its routes are withdrawn", () => agent.board.routes?.announced.length === 0);
  assert.deepEqual([...agent.board.unfit.keys()], ["overload"]);
  agent.board.problem("overload", null);
  assert.deepEqual([...agent.board.unfit.keys()], []);
});

test("a BIRD whose config does not include the file is not made to read it at every look", async () => {
  includes = false;
  const agent = new Agent();
  await until("it has configured", () => told.includes("configure"));
  const before = looks;
  agent.routes.changed();
  await until("it has looked again", () => looks >= before + 2);
  assert.deepEqual(told, ["configure"]);
  // What is to be announced changes: that is worth another try.
  agent.current = configOf(yaml().replace("192.0.2.10", "192.0.2.11"));
  agent.routes.changed();
  await until("it has configured again", () => told.length > 1);
  assert.deepEqual(told, ["configure", "configure"]);
});
