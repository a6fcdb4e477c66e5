/** What this kernel can do to many packets at a time, and the config lets it. */
import { native } from "../io/native.ts";
import type { Offloads } from "./config.ts";

/** Asks the kernel, by a TUN that is open. */
export function findOffloads(wanted: Offloads<"auto" | "off">, tunFd: number): Offloads<boolean> {
  const trains = native().hasUdpSegment();
  return {
    sendTrains: wanted.sendTrains === "auto" && trains,
    receiveTrains: wanted.receiveTrains === "auto" && trains,
    joinTcp: wanted.joinTcp === "auto",
    joinUdp: wanted.joinUdp === "auto" && native().tunTakesUdpTrains(tunFd),
  };
}
