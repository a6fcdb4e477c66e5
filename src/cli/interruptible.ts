/** Ending in order when somebody interrupts. */

/** Runs something that an interrupt may stop: it sees the signal, takes away what it made, and then we end. */
export async function interruptible(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const abort = new AbortController();
  let code = 0;
  const on = (number: number) => () => {
    code = 128 + number;
    abort.abort(new Error("interrupted"));
  };
  const handlers = { SIGINT: on(2), SIGTERM: on(15), SIGHUP: on(1) } as const;
  for (const [name, handler] of Object.entries(handlers)) process.on(name, handler);
  try {
    await run(abort.signal);
  } catch (error) {
    if (code === 0) throw error;
  } finally {
    for (const [name, handler] of Object.entries(handlers)) process.off(name, handler);
  }
  if (code !== 0) process.exitCode = code;
}
