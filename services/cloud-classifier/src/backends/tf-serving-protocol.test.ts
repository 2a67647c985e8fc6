/** Against what TensorFlow Serving publishes; no server of it was run.
 * DOC: tensorflow_serving/g3doc/api_rest.md. TEST: model_servers/http_rest_api_handler_test.cc. Bodies are quoted. */
import { describe, expect, test } from "@jest/globals";
import type { HttpAnswer } from "@tributary/calls";
import { problemOf } from "@tributary/calls";
import { type TfServingOptions, tfServingProtocol } from "./tf-serving-protocol.ts";

const answer = (body: string, status = 200): HttpAnswer => ({
  status,
  headers: { "content-type": "application/json" },
  body: Buffer.from(body),
});
const options: TfServingOptions = {
  model: "saved_model_half_plus_two_2_versions",
  input: "tensor",
  shape: [2],
  labels: 2,
  batchMax: 16,
};
const protocolOf = (change: Partial<TfServingOptions> = {}) => tfServingProtocol({ ...options, ...change });
const bodyOf = (request: { body?: Uint8Array }): unknown => JSON.parse(Buffer.from(request.body ?? []).toString());

// TEST, GetStatus; DOC, example.
const STATUS = `{
 "model_version_status": [
  {
   "version": "123",
   "state": "AVAILABLE",
   "status": {
    "error_code": "OK",
    "error_message": ""
   }
  }
 ]
}`;

describe("TensorFlow Serving's published examples", () => {
  test("status", () => {
    expect(protocolOf().readiness).toEqual({ method: "GET", path: "/v1/models/saved_model_half_plus_two_2_versions" });
    expect(protocolOf().isReady(answer(STATUS))).toBe(true);
    expect(protocolOf().isReady(answer(STATUS.replace("AVAILABLE", "LOADING")))).toBe(false);
    expect(protocolOf().isReady(answer('{"error": "Could not find any versions"}', 404))).toBe(false);
  });

  test("predict: two rows of the latest version (TEST, Predict)", () => {
    const protocol = protocolOf();
    const request = protocol.request([Float32Array.of(1, 2), Float32Array.of(3, 4)], { output: null });
    expect(request).toMatchObject({ method: "POST", path: "/v1/models/saved_model_half_plus_two_2_versions:predict" });
    expect(bodyOf(request)).toEqual(JSON.parse(`{"instances": [[1.0, 2.0], [3.0, 4.0]]}`));
    const rows = protocol.rows(answer(`{ "predictions": [[2.5, 3.0], [3.5, 4.0]] }`), 2, { output: null });
    expect(rows).toMatchObject({
      rows: [
        [2.5, 3],
        [3.5, 4],
      ],
    });
  });

  test("predict: a version, a label, a signature by its name (TEST, Predict; DOC, URL)", () => {
    const versioned = protocolOf({ version: 123, signature: "serving_default", shape: [] });
    const request = versioned.request([Float32Array.of(3), Float32Array.of(4)], { output: null });
    expect(request.path).toBe("/v1/models/saved_model_half_plus_two_2_versions/versions/123:predict");
    expect(bodyOf(request)).toEqual(JSON.parse(`{"signature_name": "serving_default", "instances": [3.0, 4.0]}`));
    const labelled = protocolOf({ versionLabel: "stable" }).request([Float32Array.of(1, 2)], { output: null });
    expect(labelled.path).toBe("/v1/models/saved_model_half_plus_two_2_versions/labels/stable:predict");
  });

  test("binary values (DOC, Encoding binary values)", () => {
    const request = protocolOf({ input: "jpeg" }).request([Buffer.from("image bytes")], { output: null });
    expect(bodyOf(request)).toEqual({ instances: [JSON.parse(`{ "b64": "aW1hZ2UgYnl0ZXM=" }`)] });
  });

  test("several outputs are objects, and the one asked for counts (DOC, Response format)", () => {
    const body = `{ "predictions": [ { "tag": "foo", "signal": [1, 2] }, { "tag": "bar", "signal": [3, 4] } ] }`;
    expect(protocolOf().rows(answer(body), 2, { output: "signal" })).toMatchObject({
      rows: [
        [1, 2],
        [3, 4],
      ],
    });
    expect(protocolOf().rows(answer(body), 2, { output: "sensor" })).toMatchObject({ code: "answer-output-missing" });
  });

  test("NaN and infinities are words of its JSON (DOC, JSON conformance)", () => {
    const rows = protocolOf().rows(answer(`{ "predictions": [[NaN, -Infinity], [1.0, -3.14]] }`), 2, { output: null });
    expect(rows).toMatchObject({
      rows: [
        [Number.NaN, Number.NaN],
        [1, -3.14],
      ],
    });
  });

  test("errors (DOC, example)", () => {
    const wrong = problemOf(answer(`{ "error": "Servable not found for request: Latest(half)" }`, 404), 0);
    expect(wrong).toMatchObject({ code: "server-model-unknown", again: false });
    expect(wrong?.message).toContain("Servable not found for request: Latest(half)");
  });
});
