/** What is wanted, as the conductor reads it: by the same rules as every agent. */
import { type ConfigResult, readText } from "../control/config.ts";
import { mergeConfig } from "../control/config-split.ts";
import type { ClusterKeys } from "../store/keys.ts";
import type { WantedRecord } from "../store/records.ts";

/** Reads it together with the parts in this host's own file, which a config has to have. */
export const wantedReader =
  (file: string, keys: ClusterKeys) =>
  ({ config }: WantedRecord): ConfigResult => {
    const own = readText(file);
    return "errors" in own ? own : mergeConfig({ text: own.text, name: file }, { text: config, name: keys.wanted });
  };
