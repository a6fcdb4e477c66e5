/**
 * What a YAML text may cost before it is parsed. The parser's own time and memory grow faster than the text for some texts: a config
 * that anybody who can write one key of the store puts there is read by the main threads of all agents at once.
 */
import { Lexer } from "yaml";

/** Bytes of a config. The largest that a store takes is 1 MiB. */
export const MAX_BYTES = 4 << 20;
/** Tokens of the lexer: 4,096 hosts with ten keys each take 400,000. */
const MAX_TOKENS = 600_000;
/** Lists and maps inside each other, on one line or by indentation. */
const MAX_DEPTH = 32;
const MAX_INDENTATION = 256;
/** Directives (`%YAML 1.2`) at the top. */
const MAX_DIRECTIVES = 4;

/** Why a text is not parsed at all, with the line where that is seen (from 1); null: it may be. Takes time in proportion to the text. */
export function tooCostly(text: string): { readonly line: number; readonly text: string } | null {
  let tokens = 0;
  let line = 1;
  let directives = 0;
  let flow = 0;
  let onLine = 0;
  const at = (why: string): { line: number; text: string } => ({ line, text: why });
  for (const token of new Lexer().lex(text)) {
    if (++tokens > MAX_TOKENS) return at("has too many keys and values (600,000 tokens at most; split it)");
    switch (token[0]) {
      case "\n":
      case "\r":
        line++;
        onLine = 0;
        break;
      case "&":
      case "*":
        return at("has an anchor or an alias (write the value out in each place)");
      case "%":
        if (++directives > MAX_DIRECTIVES) return at("has too many directives (a config needs none)");
        break;
      case "[":
      case "{":
        flow++;
        break;
      case "]":
      case "}":
        if (flow > 0) flow--;
        break;
      case "-":
      case "?":
        if (token.length === 1) onLine++;
        break;
      case " ":
        if (token.length > MAX_INDENTATION && onLine === 0) return at("is indented too far (256 columns at most)");
        break;
      default:
        line += newlines(token);
    }
    if (flow + onLine > MAX_DEPTH) return at("has too many lists and maps inside each other (32 at most)");
  }
  return null;
}

function newlines(token: string): number {
  let count = 0;
  for (let i = token.indexOf("\n"); i >= 0; i = token.indexOf("\n", i + 1)) count++;
  return count;
}
