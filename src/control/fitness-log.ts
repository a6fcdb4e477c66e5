/** Says in the log when the host has become fit or unfit for packets, and why. */
import type { AgentView, Attendant } from "./attendant.ts";

export class FitnessLog implements Attendant {
  readonly name = "fitness log";
  readonly #view: AgentView;
  #said = "";

  constructor(view: AgentView) {
    this.#view = view;
  }

  start(): void {
    this.#view.board.on("change", this.#look);
    this.#look();
  }

  stop(): void {
    this.#view.board.off("change", this.#look);
  }

  readonly #look = (): void => {
    const { board, log } = this.#view;
    const problems = Object.fromEntries(board.problems);
    const now = Object.values(problems).join("; ");
    if (now === this.#said) return;
    this.#said = now;
    if (now === "") log.info({ event: "fitness", fit: true, problems }, "fit for packets");
    else log.warn({ event: "fitness", fit: false, problems }, `not fit for packets: ${now}`);
  };
}
