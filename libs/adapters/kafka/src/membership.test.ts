import { expect, test } from "@jest/globals";
import kafkajs from "kafkajs";
import { mustRejoin } from "./membership.ts";

test("only an error that ends the membership makes a consumer give up its batch", () => {
  const of = (type: string) => mustRejoin(Object.assign(new kafkajs.KafkaJSError(type), { type }));
  for (const type of [
    "REBALANCE_IN_PROGRESS",
    "NOT_COORDINATOR_FOR_GROUP",
    "ILLEGAL_GENERATION",
    "UNKNOWN_MEMBER_ID",
  ]) {
    expect([type, of(type)]).toEqual([type, true]);
  }
  for (const type of ["GROUP_LOAD_IN_PROGRESS", "GROUP_COORDINATOR_NOT_AVAILABLE", "REQUEST_TIMED_OUT"]) {
    expect([type, of(type)]).toEqual([type, false]);
  }
  for (const error of [undefined, null, new Error("socket closed"), "text"]) expect(mustRejoin(error)).toBe(false);
});
