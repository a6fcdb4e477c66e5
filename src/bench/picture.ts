/** Figures as a picture: SVG with a panel of bars for each, written without help. */
import type { Entry } from "./figures.ts";
import { beside, readable } from "./numbers.ts";
import { LABELS, type PathName } from "./paths.ts";

const PANEL = 470;
const GAP = 20;
const MARGIN = 16;
const TITLE = 34;
const BAR = 15;
const STEP = 21;
const LABEL = 176;
/** Room behind the longest bar for its number. */
const NUMBER = 122;
const FONT = "font-family='system-ui,-apple-system,Segoe UI,Helvetica,Arial,sans-serif'";

const OURS = "#1d4ed8";
const OURS_TOO = "#7c9cf0";
const REFERENCE = "#6b7280";
const OTHERS = "#d6a13c";

function colour(path: PathName): string {
  if (path === "haflinger") return OURS;
  if (path.startsWith("haflinger")) return OURS_TOO;
  return path === "direct" || path.startsWith("floor") ? REFERENCE : OTHERS;
}

const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const text = (x: number, y: number, size: number, more: string, what: string): string =>
  `<text x='${x}' y='${y}' font-size='${size}' ${more}>${escaped(what)}</text>`;

const panelHeight = (entries: readonly Entry[]): number => TITLE + entries.length * STEP + GAP;

function panel(entries: readonly Entry[], x: number, y: number): string {
  const [first] = entries as [Entry, ...Entry[]];
  const { title, better } = first.part.figures[first.figure]!;
  const most = Math.max(...entries.map(({ median }) => median));
  const room = PANEL - LABEL - NUMBER;
  const bars = entries.map((entry, i) => {
    const top = y + TITLE + i * STEP;
    const width = most > 0 ? Math.max(1, (room * entry.median) / most) : 1;
    const compared = i === 0 ? "" : `<tspan dx='8' fill='#6b7280'>${beside(entry.median, first.median, better)}</tspan>`;
    const weight = entry.path === "haflinger" ? "font-weight='600' " : "";
    return [
      text(x + LABEL - 8, top + 12, 12, `${weight}fill='#1f2937' text-anchor='end'`, LABELS[entry.path]),
      `<rect x='${x + LABEL}' y='${top}' width='${width.toFixed(1)}' height='${BAR}' rx='2' fill='${colour(entry.path)}'/>`,
      `<text x='${(x + LABEL + width + 6).toFixed(1)}' y='${top + 12}' font-size='12' ${weight}fill='#1f2937'>${readable(entry.median)}${compared}</text>`,
    ].join("\n");
  });
  const unit = `${title === undefined ? first.unit : `${title}, ${first.unit}`}, ${better} is better`;
  return [
    text(x, y + 12, 13, "font-weight='600' fill='#111827'", first.part.title),
    text(x, y + 26, 11, "fill='#6b7280'", unit),
    ...bars,
  ].join("\n");
}

/** A picture of groups of entries, two panels side by side, those of a group compared with its first. */
export function picture(groups: readonly (readonly Entry[])[], title: string): string {
  const parts: string[] = [];
  let y = MARGIN + 30;
  for (let i = 0; i < groups.length; i += 2) {
    const row = groups.slice(i, i + 2);
    row.forEach((entries, column) => {
      parts.push(panel(entries, MARGIN + column * (PANEL + GAP), y));
    });
    y += Math.max(...row.map(panelHeight));
  }
  const width = 2 * MARGIN + 2 * PANEL + GAP;
  return `<svg xmlns='http://www.w3.org/2000/svg' width='${width}' height='${y}' viewBox='0 0 ${width} ${y}' ${FONT}>
<rect width='${width}' height='${y}' fill='#ffffff'/>
${text(MARGIN, MARGIN + 12, 15, "font-weight='600' fill='#111827'", title)}
${parts.join("\n")}
</svg>
`;
}
