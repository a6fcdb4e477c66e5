import assert from "node:assert/strict";
import { test } from "node:test";
import { DescriptorList, type DescriptorSet, renumber } from "../../src/control/descriptor-set.ts";

const SET: DescriptorSet = {
  workers: [
    { uplinkFd: 30, deliveryFd: 30, gueFds: [31, 32], socketsFd: 33 },
    { uplinkFd: 40, deliveryFd: 40, gueFds: [41, 42], socketsFd: 43 },
  ],
  senders4: [50, 51],
  senders6: [],
  rawFd4: 60,
  rawFd6: -1,
};

test("places in a list and back: each descriptor once, what there is not stays so", () => {
  const list = new DescriptorList();
  assert.equal(list.place(99), 0);
  const places = renumber(SET, list.place);
  assert.deepEqual(places, {
    workers: [
      { uplinkFd: 1, deliveryFd: 1, gueFds: [2, 3], socketsFd: 4 },
      { uplinkFd: 5, deliveryFd: 5, gueFds: [6, 7], socketsFd: 8 },
    ],
    senders4: [9, 10],
    senders6: [],
    rawFd4: 11,
    rawFd6: -1,
  });
  assert.deepEqual(list.descriptors, [99, 30, 31, 32, 33, 40, 41, 42, 43, 50, 51, 60]);
  assert.deepEqual(
    renumber(places, (place) => list.descriptors[place]!),
    SET,
  );
});
