/** Bytes that do not keep the contract. The codes are stable: metrics, dead letters and tests name them. */
export type ContractErrorCode =
  | "framing-unknown" // neither single-object nor Confluent framing
  | "schema-unknown-fingerprint"
  | "schema-unknown-id"
  | "schema-unknown-type"
  | "schema-wrong-record" // a known schema, but not of this topic
  | "record-truncated"
  | "record-trailing-bytes"
  | "record-block-count"
  | "record-oversized"
  | "record-union-branch"
  | "record-enum-symbol"
  | "record-number"
  | "value-out-of-range" // a number its field may not have, or none
  | "record-undecodable";

export class ContractError extends Error {
  readonly code: ContractErrorCode;
  constructor(code: ContractErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "ContractError";
    this.code = code;
  }
}
