/** A service manager's socket. Node has none of that kind, Python, which building the addon needs anyway, has. */
import { chmodSync } from "node:fs";
import { until } from "./netns.ts";
import { Program } from "./takeovers.ts";

const RECEIVER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("\\0" + sys.argv[1][1:] if sys.argv[1][0] == "@" else sys.argv[1])
print("listening", flush=True)
while True: print(json.dumps(s.recv(65536).decode().split("\\n")), flush=True)`;

export class Manager {
  readonly #program: Program;

  private constructor(program: Program) {
    this.#program = program;
  }

  /** Listens at a path; one that begins with @ is abstract. */
  static async listen(path: string): Promise<Manager> {
    const program = new Program(["python3", "-c", RECEIVER, path]);
    await program.said("listening");
    if (!path.startsWith("@")) chmodSync(path, 0o666);
    return new Manager(program);
  }

  /** What has been said so far, a list of lines each time. */
  get messages(): string[][] {
    return this.#program.lines.slice(1).map((line) => JSON.parse(line) as string[]);
  }

  /** Waits until a line like that has come, in the messages from number `from` on. Gives the number of the next one. */
  async heard(line: RegExp, from = 0): Promise<number> {
    const find = (): number => this.messages.findIndex((lines, i) => i >= from && lines.some((one) => line.test(one)));
    await until(`${line} in ${JSON.stringify(this.messages)}`, () => find() >= 0, 20_000);
    return find() + 1;
  }

  async close(): Promise<void> {
    await this.#program.killed();
  }
}
