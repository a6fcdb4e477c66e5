/** An HTTP request for a check, and whether what comes back is what is wanted. Pure; the bytes may come by any way. */
import type { ServiceHealth, StatusRange } from "../control/config-health.ts";
import { FINE, type Finding, failed } from "./finding.ts";

export type Wanted = Pick<ServiceHealth, "path" | "host" | "status" | "body">;

/** Bytes of a response that are looked at. */
export const MOST_BYTES = 65_536;

/** `authority` is what the Host header says where the config does not: the VIP, an IPv6 address in brackets. */
export function requestFor({ path, host }: Wanted, authority: string): Uint8Array {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: ${host ?? authority}`,
    "User-Agent: hafl-health",
    "Accept: */*",
    "Accept-Encoding: identity",
    "Connection: close",
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

const asText = ({ from, to }: StatusRange): string => (from === to ? `${from}` : `${from}-${to}`);

/** Collects a response until it is decided. */
export class HttpAnswer {
  readonly #wanted: Wanted;
  #bytes: Buffer = Buffer.alloc(0);

  constructor(wanted: Wanted) {
    this.#wanted = wanted;
  }

  /** Takes the next bytes of the response. Gives what it is worth as soon as that is clear, else null. */
  take(bytes: Uint8Array): Finding | null {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    return this.#judge(false);
  }

  /** The connection has ended. */
  end(): Finding {
    return this.#judge(true) ?? failed("broken", "the connection ended before the response did");
  }

  #judge(ended: boolean): Finding | null {
    const text = this.#bytes.subarray(0, MOST_BYTES).toString("latin1");
    const lineEnd = text.indexOf("\n");
    if (lineEnd < 0) {
      const short = text.length < 1024 && !ended && "HTTP/1.".startsWith(text.slice(0, 7));
      return short || text === "" ? null : failed("wrong", "the response is not HTTP");
    }
    const status = /^HTTP\/1\.[01] ([1-5]\d\d)(?: .*)?\r?$/.exec(text.slice(0, lineEnd))?.[1];
    if (status === undefined) return failed("wrong", "the response is not HTTP");
    const code = Number(status);
    if (code < 200 && code !== 101) return this.#skipInterim(text, ended);
    if (!this.#wanted.status.some(({ from, to }) => from <= code && code <= to))
      return failed("wrong", `HTTP ${code}, wanted ${this.#wanted.status.map(asText).join(", ")}`);
    return this.#wanted.body === null ? FINE : this.#judgeBody(text, this.#wanted.body, ended);
  }

  /** 100 Continue and 103 Early Hints come before the response. */
  #skipInterim(text: string, ended: boolean): Finding | null {
    const end = /\r?\n\r?\n/.exec(text);
    if (end === null) return ended ? failed("broken", "the connection ended before the response did") : null;
    this.#bytes = this.#bytes.subarray(end.index + end[0].length);
    return this.#bytes.length > 0 ? this.#judge(ended) : null;
  }

  #judgeBody(text: string, wanted: string, ended: boolean): Finding | null {
    const missing = failed("wrong", `the body does not hold ${JSON.stringify(wanted)}`);
    const full = text.length >= MOST_BYTES;
    const end = /\r?\n\r?\n/.exec(text);
    if (end === null) return full ? failed("wrong", `headers of more than ${MOST_BYTES} bytes`) : null;
    const headers = text.slice(0, end.index);
    const rest = text.slice(end.index + end[0].length);
    const chunked = /\ntransfer-encoding:[^\r\n]*chunked/i.test(headers);
    const { body, whole } = chunked ? unchunk(rest) : { body: rest, whole: rest.length >= lengthIn(headers) };
    // Bytes as they are on the wire: what is wanted is in UTF-8, as the response surely is.
    if (body.includes(Buffer.from(wanted).toString("latin1"))) return FINE;
    if (whole || full || (ended && !chunked && lengthIn(headers) === Number.POSITIVE_INFINITY)) return missing;
    return null;
  }
}

function lengthIn(headers: string): number {
  const length = /\ncontent-length:[ \t]*(\d+)[ \t]*(?:\r|\n|$)/i.exec(headers)?.[1];
  return length === undefined ? Number.POSITIVE_INFINITY : Number(length);
}

/** The body in chunks, as far as it is there. */
function unchunk(text: string): { body: string; whole: boolean } {
  let body = "";
  for (let at = 0; ; ) {
    const size = /^([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n/.exec(text.slice(at, at + 1024));
    if (size === null) return { body, whole: false };
    const length = Number.parseInt(size[1]!, 16);
    if (length === 0) return { body, whole: true };
    const start = at + size[0].length;
    body += text.slice(start, start + length);
    if (text.length < start + length) return { body, whole: false };
    at = start + length + (text[start + length] === "\r" ? 2 : 1);
  }
}
