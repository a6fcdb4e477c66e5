/** From the text of a config to plain values. */
import { isScalar, parseDocument } from "yaml";

/** YAML to plain values. A seed that looks like a number is taken as it was written. */
export function readYaml(text: string, file: string): { raw: Record<string, unknown> } | { errors: string[] } {
  const document = parseDocument(text, { prettyErrors: true });
  // After the first error the reader is out of step, and what it says is about that; keys used twice are mistakes each.
  const [first, ...later] = [...document.errors, ...document.warnings];
  const faults = first === undefined ? [] : [first, ...later.filter(({ code }) => code === "DUPLICATE_KEY")];
  if (faults.length > 0) {
    return {
      errors: faults.map(({ linePos, message }) => {
        const where = linePos === undefined ? file : `${file}:${linePos[0].line}:${linePos[0].col}`;
        return `${where}: not YAML: ${message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "")}`;
      }),
    };
  }
  try {
    const raw: unknown = document.toJS();
    if (raw === null || raw === undefined)
      return { errors: [`${file}: the file is empty (see \`hafl help check\` for an example)`] };
    if (typeof raw !== "object" || Array.isArray(raw))
      return { errors: [`${file}: not a map at the top (write \`cluster: NAME\`, \`hosts:\`, ...)`] };
    const seed = document.get("seed", true);
    if (isScalar(seed) && typeof seed.value === "number" && seed.source !== undefined)
      (raw as { seed: unknown }).seed = seed.source;
    return { raw: raw as Record<string, unknown> };
  } catch (error) {
    return { errors: [`${file}: not YAML: ${(error as Error).message}`] };
  }
}
