/** Bulk transfer over TCP: iperf3, one connection or two, up and down. */
import { runOn } from "./namespace-process.ts";
import { type Part, pick, type Sample } from "./part.ts";
import { CONNECTIONS } from "./paths.ts";
import { CLIENT, type Stand } from "./stand.ts";
import { tool } from "./tools.ts";

/** iperf3 measures whole seconds; what is to take less is as many bytes as this many bits a second carry in the time. */
const SHORT_BITS = 4e9;

interface Report {
  readonly error?: string;
  readonly end: { readonly sum_received: { readonly bits_per_second: number } };
}

/** Arguments for a transfer that takes so many seconds. */
const lasting = (seconds: number): string[] =>
  seconds < 1 ? ["-n", `${Math.round((SHORT_BITS / 8) * seconds)}`] : ["-t", `${Math.round(seconds)}`];

/** Gbit/s of payload, as the receiver counted it. */
export async function transfer(stand: Stand, address: string, seconds: number, more: readonly string[] = []): Promise<number> {
  const args = [...tool("iperf3"), "-c", address, "-J", "--connect-timeout", "3000", ...lasting(seconds), ...more];
  const { end, error } = JSON.parse(await runOn(stand, CLIENT, args)) as Report;
  if (error !== undefined) throw new Error(`iperf3: ${error}`);
  return end.sum_received.bits_per_second / 1e9;
}

/**
 * Seconds until nothing is compiled any more: until then V8 takes a sixth of the processors' time, once in the life of an agent. All
 * paths get them.
 */
const BULK_WARM_UP = 5;

const peers = ["haproxy", "haproxy-splice", "nginx"] as const;

export const upload: Part = {
  name: "upload",
  title: "Upload, one connection",
  figures: { upload: { unit: "Gbit/s", better: "more" } },
  needs: ["iperf3"],
  paths: pick(CONNECTIONS, "direct", "haflinger", ...peers),
  warmUp: BULK_WARM_UP,
  measure: async ({ stand }, { address }, seconds): Promise<Sample> => ({ upload: await transfer(stand, address, seconds) }),
};

export const download: Part = {
  name: "download",
  title: "Download, one connection",
  figures: { download: { unit: "Gbit/s", better: "more" } },
  needs: ["iperf3"],
  paths: pick(CONNECTIONS, "direct", "haflinger", ...peers),
  warmUp: BULK_WARM_UP,
  measure: async ({ stand }, { address }, seconds): Promise<Sample> => ({
    download: await transfer(stand, address, seconds, ["-R"]),
  }),
};

/** Two flows, so that two workers have something to do each; or, by the hash's choice, one of them both. */
export const twoFlows: Part = {
  name: "workers",
  title: "Upload, two connections",
  figures: { "upload of two": { unit: "Gbit/s", better: "more" } },
  needs: ["iperf3"],
  paths: pick(CONNECTIONS, "haflinger-1", "haflinger-2"),
  warmUp: BULK_WARM_UP,
  measure: async ({ stand }, { address }, seconds): Promise<Sample> => ({
    "upload of two": await transfer(stand, address, seconds, ["-P", "2"]),
  }),
};
