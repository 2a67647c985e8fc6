/** The cluster's DNS, as far as manifests need it: A records of services, and of a headless one its endpoints'. Pure. */

export type Service = {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly publishNotReadyAddresses?: boolean;
  };
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip?: string }[] } };
};
export type EndpointSlice = {
  readonly metadata: { readonly namespace: string; readonly labels?: Readonly<Record<string, string>> };
  readonly endpoints?:
    | readonly {
        readonly addresses: readonly string[];
        readonly hostname?: string;
        readonly conditions?: { readonly ready?: boolean };
      }[]
    | null;
};

/** Addresses by name. */
export type Records = ReadonlyMap<string, readonly string[]>;

export function recordsOf(services: readonly Service[], slices: readonly EndpointSlice[], domain: string): Records {
  const records = new Map<string, readonly string[]>();
  for (const { metadata, spec } of services) {
    const name = `${metadata.name}.${metadata.namespace}.svc.${domain}`;
    if (spec.clusterIP !== "None") {
      if (spec.clusterIP) records.set(name, [spec.clusterIP]);
      continue;
    }
    const ready = slices
      .filter((slice) => slice.metadata.namespace === metadata.namespace)
      .filter((slice) => slice.metadata.labels?.["kubernetes.io/service-name"] === metadata.name)
      .flatMap((slice) => slice.endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready !== false || spec.publishNotReadyAddresses);
    records.set(
      name,
      ready.flatMap(({ addresses }) => addresses),
    );
    for (const { hostname, addresses } of ready) if (hostname) records.set(`${hostname}.${name}`, addresses);
  }
  return records;
}

const HEADER_BYTES = 12;
const TYPE_A = 1;
const CLASS_IN = 1;
const TTL_S = 5;
/** Points to the question's name. */
const SAME_NAME = [0xc0, HEADER_BYTES];
/** A response that is authoritative; without an error, or NXDOMAIN. */
const FOUND = 0x8580;
const UNKNOWN = 0x8583;

/** RFC 1035, section 4; undefined for what is no question. */
export function answerOf(query: Buffer, records: Records): Buffer | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = query[at]; length !== 0; length = query[at]) {
    if (length === undefined || length > 63) return undefined;
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += length + 1;
  }
  if (query.length < at + 5) return undefined;
  const addresses = records.get(labels.join(".").toLowerCase());
  const answers = query.readUInt16BE(at + 1) === TYPE_A ? (addresses ?? []) : [];
  const header = Buffer.alloc(HEADER_BYTES);
  query.copy(header, 0, 0, 2);
  header.writeUInt16BE(addresses === undefined ? UNKNOWN : FOUND, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(answers.length, 6);
  const body = answers.map((address) =>
    Buffer.from([...SAME_NAME, 0, TYPE_A, 0, CLASS_IN, 0, 0, 0, TTL_S, 0, 4, ...address.split(".").map(Number)]),
  );
  return Buffer.concat([header, query.subarray(HEADER_BYTES, at + 5), ...body]);
}
