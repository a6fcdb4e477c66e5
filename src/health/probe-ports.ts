/** Which ports probes come from. */
import type { ProbePorts } from "../io/reply-socket.ts";

/** As many as probes may be under way, many times over: a port is not used again before all others were. */
const ENOUGH = 1024;

/**
 * Ports that the kernel gives to no connection by itself: those outside of net.ipv4.ip_local_port_range (`32768	60999`), above it where
 * there are enough, else below. Where it has them all, those that only a privileged program can ask for: none is a client's.
 */
export function probePorts(localRange: string | null): ProbePorts {
  const [low = 32768, high = 60999] = (localRange ?? "").trim().split(/\s+/).filter(Boolean).map(Number);
  if (65535 - high >= ENOUGH) return { from: Math.max(high + 1, 65536 - 4 * ENOUGH), to: 65535 };
  if (low - 1024 >= ENOUGH) return { from: low - ENOUGH, to: low - 1 };
  return { from: 512, to: 1023 };
}
