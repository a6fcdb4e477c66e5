/**
 * Loaded before a program of the lab (`node --import`): its wall clock is off by what a file says, in ms, in all of its threads. There is
 * no namespace for that clock; moving the machine's own would move it for everybody.
 */
import { readFileSync } from "node:fs";

const file = process.env.HAFL_LAB_CLOCK;
/** How often the file is looked at, ms. */
const LOOK_MS = 200;

if (file !== undefined) {
  const real = Date.now;
  let offset = 0;
  let looked = 0;
  Date.now = () => {
    const now = real();
    if (now - looked > LOOK_MS) {
      looked = now;
      try {
        offset = Number(readFileSync(file, "utf8")) || 0;
      } catch {
        offset = 0;
      }
    }
    return now + offset;
  };
}
