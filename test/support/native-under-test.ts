/** Preloaded (`--import`) by native/asan.sh: takes the addon from the file that HAFL_NATIVE names. */
import { useAddon } from "../../src/io/native.ts";

if (process.env.HAFL_NATIVE !== undefined) useAddon(process.env.HAFL_NATIVE);
