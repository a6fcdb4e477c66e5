/** Whether the store knows less than the hosts have applied, as after it was restored from a snapshot: then nothing moves before somebody says so. Pure. */
import { FAR, type HostReport } from "../store/records.ts";

export interface Ahead {
  /** Hosts that have applied what the store does not have. */
  readonly hosts: readonly string[];
  /** More than half of those that report. */
  readonly most: boolean;
  /** The highest change and serial that any host has applied. */
  readonly change: number;
  readonly serial: number;
}

/** Compares the reports with the change that is wanted, and the serial of each pool's generations in the store. */
export function ahead(reports: readonly HostReport[], change: number, serials: ReadonlyMap<string, number>, last: number): Ahead {
  // A number that is so far above what there is was made up: it is not followed.
  const known = (serial: number): boolean => serial <= last + FAR;
  const counts = (report: HostReport): boolean => report.change <= change + FAR;
  const hosts = reports.filter(
    (report) =>
      (report.change > change && counts(report)) ||
      Object.entries(report.serials).some(([pool, serial]) => serial > (serials.get(pool) ?? last) && known(serial)),
  );
  const applied = reports.flatMap((report) => Object.values(report.serials).filter(known));
  return {
    hosts: hosts.map(({ host }) => host).sort(),
    most: 2 * hosts.length > reports.length,
    change: reports.filter(counts).reduce((most, report) => Math.max(most, report.change), 0),
    serial: applied.reduce((a, b) => Math.max(a, b), last),
  };
}
