/**
 * Checks of a service of this host through its own kernel. The connection goes to the VIP, as those of clients do, so that a service which
 * listens elsewhere does not count. It comes from the loopback address: that reaches only what is on this host. From another one, where
 * the VIP is missing here, another host would answer.
 */
import { connect, type Socket } from "node:net";
import { type Address, formatAddress } from "../wire/address.ts";
import { FINE, type Finding, failed, GIVEN_UP } from "./finding.ts";
import { HttpAnswer, requestFor, type Wanted } from "./http-answer.ts";

/** What an error of the kernel says of the service. */
function findingOf({ code = "" }: NodeJS.ErrnoException, vip: string, port: number, connected: boolean): Finding {
  if (connected) return failed("broken", `${vip} port ${port} broke the connection off (${code})`);
  switch (code) {
    case "ECONNREFUSED":
      return failed("refused", `nothing listens on ${vip} port ${port}`);
    // From a loopback address to another host's: no route leads there.
    case "EINVAL":
    case "ENETUNREACH":
    case "EHOSTUNREACH":
    case "EADDRNOTAVAIL":
      return failed("no-vip", `${vip} is not an address of this host`);
    default:
      return failed("rejected", `${vip} port ${port}: ${code}`);
  }
}

/** Opens a connection and lets `talk` decide what it is worth, until the check is `over`; without it, that it opens is enough. */
function converse(
  vip: Address,
  port: number,
  timeoutMs: number,
  over: AbortSignal | undefined,
  talk: ((socket: Socket, decide: (finding: Finding) => void) => void) | null,
): Promise<Finding> {
  return new Promise((resolve) => {
    const host = formatAddress(vip);
    const socket = connect({ host, port, localAddress: vip.family === 4 ? "127.0.0.1" : "::1" });
    let connected = false;
    const decide = (finding: Finding): void => {
      clearTimeout(timer);
      over?.removeEventListener("abort", giveUp);
      // Reset, not closed: no port of ours is left waiting. One that is still connecting would be reset only once it has connected.
      if (connected) socket.resetAndDestroy();
      else socket.destroy();
      resolve(finding);
    };
    const timer = setTimeout(() => {
      const within = `within ${timeoutMs / 1000} s`;
      decide(
        connected
          ? failed("slow", `connected, but no answer ${within}`)
          : failed("slow", `${host} port ${port} took no connection ${within}`),
      );
    }, timeoutMs);
    const giveUp = (): void => decide(GIVEN_UP);
    over?.addEventListener("abort", giveUp);
    socket.on("error", (error) => decide(findingOf(error, host, port, connected)));
    socket.once("connect", () => {
      connected = true;
      if (talk === null) decide(FINE);
      else talk(socket, decide);
    });
  });
}

/** Whether a connection can be made, while the check is not `over`. */
export const checkTcp = (vip: Address, port: number, timeoutMs: number, over?: AbortSignal): Promise<Finding> =>
  converse(vip, port, timeoutMs, over, null);

/** Whether the response to a request is what is wanted, while the check is not `over`. */
export function checkHttp(vip: Address, port: number, wanted: Wanted, timeoutMs: number, over?: AbortSignal): Promise<Finding> {
  return converse(vip, port, timeoutMs, over, (socket, decide) => {
    const answer = new HttpAnswer(wanted);
    socket.on("data", (bytes) => {
      const finding = answer.take(bytes);
      if (finding !== null) decide(finding);
    });
    socket.once("end", () => decide(answer.end()));
    socket.write(requestFor(wanted, authority(vip, port)));
  });
}

/** What a Host header says of a VIP. */
export const authority = (vip: Address, port: number): string => {
  const host = vip.family === 6 ? `[${formatAddress(vip)}]` : formatAddress(vip);
  return port === 80 ? host : `${host}:${port}`;
};
