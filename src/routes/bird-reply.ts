/**
 * Replies of BIRD's control socket. Each is some lines, the first and each of another kind with a code of four digits:
 *
 *     1002-hafl_192_0_2_10 Static     master4    up     13:24:43.091      a dash: more follows
 *      and a line of the same kind begins with a space
 *     0003 Reconfigured                                                   a space behind the code: the last line
 *     +  what BIRD logs meanwhile, if it was asked to
 *
 * Codes from 8000 are failures at run time, those from 9000 commands that BIRD does not understand.
 */

export interface ReplyLine {
  readonly code: number;
  readonly text: string;
}

/** A whole reply; `code` and `text` are those of its last line. */
export interface Reply extends ReplyLine {
  readonly lines: readonly ReplyLine[];
}

/** Takes replies out of a stream of bytes, as they come. Throws when what comes is no reply of BIRD's. */
export class ReplyReader {
  /** No reply has so much text: somebody else's socket, or a BIRD out of its mind. */
  static readonly MAX_CHARACTERS = 64 << 20;
  readonly #decoder = new TextDecoder();
  #rest = "";
  #lines: ReplyLine[] = [];
  #characters = 0;

  /** The replies that are complete with these bytes. */
  take(bytes: Uint8Array): Reply[] {
    const lines = (this.#rest + this.#decoder.decode(bytes, { stream: true })).split("\n");
    this.#rest = lines.pop()!;
    if (this.#rest.length > ReplyReader.MAX_CHARACTERS) throw new Error("not what BIRD replies: a line without end");
    return lines.flatMap((line) => this.#line(line) ?? []);
  }

  #line(line: string): Reply | null {
    if (line.startsWith("+")) return null;
    this.#characters += line.length;
    const match = /^(?:(\d{4})([ -])| )(.*)$/s.exec(line);
    const code = match?.[1] === undefined ? this.#lines.at(-1)?.code : Number(match[1]);
    if (match === null || code === undefined || this.#characters > ReplyReader.MAX_CHARACTERS)
      throw new Error(`not what BIRD replies: ${JSON.stringify(line.slice(0, 80))}`);
    this.#lines.push({ code, text: match[3]! });
    if (match[2] !== " ") return null;
    const reply = { code, text: match[3]!, lines: this.#lines };
    this.#lines = [];
    this.#characters = 0;
    return reply;
  }
}

/** Whether BIRD did not do what it was asked for. */
export const refused = ({ code }: ReplyLine): boolean => code >= 8000;

/** What BIRD says of a protocol. */
export interface ProtocolState {
  readonly name: string;
  /** `Static`, `BGP`, ... */
  readonly kind: string;
  /** `up`, `down`, `start`, ... */
  readonly state: string;
  /** Of BGP `Established` or where it got to; else mostly empty. */
  readonly info: string;
  /** As in the config; only in replies to `show protocols all`. */
  readonly description: string | null;
  /** Routes that it has put into its table; only in replies to `show protocols all`. */
  readonly routes: number;
}

const PROTOCOL_LINE = 1002;
const DETAIL_LINE = 1006;

/** Reads the reply to `show protocols` or `show protocols all`. */
export function readProtocols({ lines }: Reply): ProtocolState[] {
  const found: { -readonly [K in keyof ProtocolState]: ProtocolState[K] }[] = [];
  for (const { code, text } of lines) {
    if (code === PROTOCOL_LINE) {
      // Name, kind, table, state, since (as `timeformat protocol` has it: one word or two), info.
      const [, name, kind, state, rest] = /^(\S+)\s+(\S+)\s+\S+\s+(\S+)\s*(.*)$/.exec(text) ?? [];
      if (name === undefined) continue;
      const info = /^\S+(?: [\d:.]+)?\s+(.*?)\s*$/.exec(rest!)?.[1] ?? "";
      found.push({ name, kind: kind!, state: state!, info, description: null, routes: 0 });
    } else if (code === DETAIL_LINE) {
      const last = found.at(-1);
      const description = /^\s*Description:\s+(.*?)\s*$/.exec(text)?.[1];
      const routes = /^\s*Routes:\s+(\d+) imported/.exec(text)?.[1];
      if (last !== undefined && description !== undefined) last.description = description;
      if (last !== undefined && routes !== undefined) last.routes += Number(routes);
    }
  }
  return found;
}
