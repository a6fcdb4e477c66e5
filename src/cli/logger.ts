/** The agent's log: JSON lines on stderr, or readable ones when that is a terminal. */
import pino, { type Logger } from "pino";
import pretty from "pino-pretty";
import type { CliEnv } from "./env.ts";

/** Writes at once: what is logged last before the end is what matters most. */
export function createLogger(env: CliEnv): Logger {
  const options = { base: null, timestamp: pino.stdTimeFunctions.isoTime };
  if (env.stderr.isTTY !== true)
    return pino({ ...options, formatters: { level: (level) => ({ level }) } }, pino.destination({ dest: 2, sync: true }));
  return pino(options, pretty({ destination: 2, sync: true, singleLine: true, translateTime: "SYS:HH:MM:ss.l" }));
}
