/** How commands load modules with the pipeline in them: as fast as it runs in a worker. */
import { hotProgram } from "../io/bundled.ts";

/** Imports one of the programs of build/bundle.ts by its path below src/. `M` is the type of its module. */
export async function pipeline<M>(path: string): Promise<M> {
  return (await import(hotProgram(path).href)) as M;
}
