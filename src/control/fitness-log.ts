/** Says in the log when the host has become fit or unfit for packets, and why. */
import type { AgentView, Attendant } from "./attendant.ts";

export class FitnessLog implements Attendant {
  readonly name = "fitness log";
  readonly #view: AgentView;
  #said = "fit for packets";

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
    const fit = board.unfit.size === 0;
    const wrong = Object.values(problems).join("; ");
    const now = wrong === "" ? "fit for packets" : `${fit ? "fit for packets, but" : "not fit for packets:"} ${wrong}`;
    if (now === this.#said) return;
    this.#said = now;
    const facts = { event: "fitness", fit, problems };
    if (wrong === "") log.info(facts, now);
    else log.warn(facts, now);
  };
}
