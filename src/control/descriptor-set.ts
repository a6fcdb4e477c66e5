/** What a process must have open to run the data plane: as descriptors, or as places in a list of descriptors. */

/** What one worker has open, but for its eventfd: that is each process's own. */
export interface WorkerSet {
  readonly uplinkFd: number;
  /** In TUN mode the same as the uplink's. */
  readonly deliveryFd: number;
  readonly gueFds: readonly number[];
  /** Netlink, to ask for sockets. */
  readonly socketsFd: number;
}

export interface DescriptorSet {
  readonly workers: readonly WorkerSet[];
  readonly senders4: readonly number[];
  readonly senders6: readonly number[];
  /** Raw sockets, shared by all workers; -1 where the kernel lacks the family. */
  readonly rawFd4: number;
  readonly rawFd6: number;
}

/** The same set with other numbers. */
export function renumber(set: DescriptorSet, by: (number: number) => number): DescriptorSet {
  const all = (numbers: readonly number[]): number[] => numbers.map((number) => by(number));
  const known = (number: number): number => (number < 0 ? number : by(number));
  return {
    workers: set.workers.map(({ uplinkFd, deliveryFd, gueFds, socketsFd }) => ({
      uplinkFd: by(uplinkFd),
      deliveryFd: by(deliveryFd),
      gueFds: all(gueFds),
      socketsFd: by(socketsFd),
    })),
    senders4: all(set.senders4),
    senders6: all(set.senders6),
    rawFd4: known(set.rawFd4),
    rawFd6: known(set.rawFd6),
  };
}

/** A list of descriptors to be handed over; each is in it once. */
export class DescriptorList {
  readonly descriptors: number[] = [];

  /** The place of a descriptor in the list. */
  readonly place = (fd: number): number => {
    const at = this.descriptors.indexOf(fd);
    return at < 0 ? this.descriptors.push(fd) - 1 : at;
  };
}
