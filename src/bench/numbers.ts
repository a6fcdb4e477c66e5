/** Numbers as people read them. */

/** Three significant digits at least, thousands marked. */
export function readable(n: number): string {
  const size = Math.abs(n);
  if (Number.isInteger(n) || size >= 1000) return Math.round(n).toLocaleString("en");
  return n.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2);
}

/** A figure set beside another: a ratio where more is better, else the difference. */
export function beside(value: number, reference: number, better: "more" | "less"): string {
  if (better === "more") return `${(value / reference).toFixed(2)}×`;
  const difference = value - reference;
  return `${difference < 0 ? "−" : "+"}${readable(Math.abs(difference))}`;
}
