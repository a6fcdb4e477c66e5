/** Asking whether sockets exist: of the kernel, or of a function in its place. */
import { ANSWER_FOUND, type SocketLookup } from "../io/socket-lookup.ts";
import type { SocketQuestions } from "./flow-memory.ts";
import type { Parsed } from "./parsed.ts";

/** Questions to the kernel, many in one send. A kernel that cannot be asked has found nothing. */
export function socketQuestions(lookup: SocketLookup): SocketQuestions {
  return {
    add: (p) => {
      const { upper: u, ports } = p;
      const [source, destination] = [ports >>> 16, ports & 0xffff];
      return (
        lookup.add(
          p.version,
          p.kind & 0xff,
          u[0]!,
          u[1]!,
          u[2]!,
          p.source,
          u[3]!,
          u[4]!,
          u[5]!,
          p.destination,
          source,
          destination,
        ) >= 0
      );
    },
    ask: () => lookup.run(),
    found: (i) => lookup.found(i) === ANSWER_FOUND,
    clear: () => lookup.clear(),
  };
}

/** Questions answered at once by a function. */
export function plainQuestions(hasSocket: (p: Parsed) => boolean): SocketQuestions {
  const answers: boolean[] = [];
  return {
    add: (p) => answers.push(hasSocket(p)) > 0,
    ask: () => {},
    found: (i) => answers[i]!,
    clear: () => {
      answers.length = 0;
    },
  };
}
