import { expect, test } from "@jest/globals";
import { seededRandom } from "@tributary/kernel";
import { EventReader } from "./server-events.ts";

const stream = [
  ": connected\n\n",
  'event: classification\nid: 1\ndata: {"a":1}\n\n',
  ": heartbeat\r\n\r\n",
  "data:first\ndata: second\n\n",
  "event: dropped\ndata: {}\n\n",
].join("");

test.each([1, 2, 3, 4, 5, 6, 7, 8])("seed %i: events are the same however the text is cut", (seed) => {
  const random = seededRandom(seed);
  const reader = new EventReader();
  const events = [];
  for (let at = 0; at < stream.length; ) {
    const length = 1 + Math.floor(random() * 12);
    events.push(...reader.push(stream.slice(at, at + length)));
    at += length;
  }
  expect(events).toEqual([
    { name: "classification", data: '{"a":1}' },
    { name: "message", data: "first\nsecond" },
    { name: "dropped", data: "{}" },
  ]);
});
