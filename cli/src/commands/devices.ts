import { type Device, type DeviceQuery, itemsOfPages } from "@tributary/api";
import { Command } from "commander";
import { type Context, contextOf, type Io } from "../context.ts";
import { answerOf, goldenWords, hasPassed, silenceWords } from "../devices/check.ts";
import { labelArgument, labelOption, labelWords } from "../devices/device-labels.ts";
import { CliError, exitCodes } from "../exit-codes.ts";
import { ago, short, type View } from "../output.ts";
import { waitingFor } from "../progress.ts";
import { sleep, watchable, watched } from "../watch.ts";
import { positive } from "./options.ts";

const viewOf = (now: number): View<Device> => ({
  name: (device) => device.deviceId,
  columns: [
    { head: "DEVICE", of: (d) => d.deviceId },
    { head: "STATUS", of: (d) => d.status },
    { head: "HARDWARE", of: (d) => d.hardwareClass },
    { head: "SITE", of: (d) => d.site },
    { head: "MODEL", of: (d) => modelOf(d) },
    { head: "SEEN", of: (d) => ago(d.lastSeenAt, now) },
    { head: "THROTTLED", of: (d) => throttledOf(d, now) },
    { head: "AGENT", of: (d) => d.reported?.agentVersion, wide: true },
    { head: "POLICY", of: (d) => short(d.reported?.policyVersion ?? ""), wide: true },
    { head: "CAMERAS", of: (d) => d.reported?.cameras.join(","), wide: true },
    { head: "CLOCK", of: (d) => d.reported?.clockState, wide: true },
    { head: "LABELS", of: (d) => labelWords(d.labels), wide: true },
    { head: "REGISTERED", of: (d) => d.registeredAt, wide: true },
  ],
});

/** E.g. `budget, draws (4m)`: why, and for how long. */
const throttledOf = ({ throttled = [] }: Device, now: number): string => {
  const [first] = throttled;
  return first === undefined ? "" : `${throttled.map(({ reason }) => reason).join(", ")} (${ago(first.since, now)})`;
};

const modelOf = (device: Device): string => {
  const slot = device.reported?.slots.perception;
  return slot === undefined ? "" : `${slot.modelName} ${slot.modelVersion}`;
};

export const getDevices = (io: Io): Command =>
  watchable(new Command("devices"))
    .alias("device")
    .description("registered devices, their models, and when each was last seen")
    .option("--status <STATUS>", "ACTIVE or REVOKED")
    .option("--site <SITE>", "only devices of this site")
    .action((options: { status?: string; site?: string }, command: Command) =>
      watched(command, io, async ({ gateway, output }) => {
        // The gateway validates the status.
        const status = options.status?.toUpperCase() as DeviceQuery["status"];
        const query = { status, site: options.site };
        const items = await itemsOfPages((after) => gateway.devices.list({ ...query, after }));
        output.list(items, viewOf(io.now()), "No devices. Register one: tributary devices register ID");
      }),
    );

export const describeDevice = (io: Io): Command =>
  new Command("device")
    .alias("devices")
    .argument("<id>", "device id")
    .description("one device in full")
    .action(async (id: string, _options: object, command: Command) => {
      const { gateway, output } = contextOf(command, io);
      const device = await gateway.devices.one({ deviceId: id });
      output.one(device, device.deviceId, () => showDevice(device, { gateway, output, io }));
    });

const CHECK_POLL_MS = 1_000;

type RegisterOptions = {
  hardwareClass?: string;
  site?: string;
  label?: Readonly<Record<string, string>>;
  passwordOnly?: boolean;
};

export function devicesCommand(io: Io): Command {
  const command = new Command("devices").description("register, label, check and revoke devices");
  command
    .command("register")
    .argument("<id>", "a letter or digit, then up to 63 letters, digits, dashes and underscores")
    .description("register a device; prints its password only once")
    .option("--hardware-class <CLASS>", "e.g. rpi4, rpi5, x64")
    .option("--site <SITE>", "the site of the device")
    .option(
      "--label <KEY=VALUE>",
      "a label, e.g. lens=acme-2; may be repeated. Drift is located by labels",
      labelOption,
    )
    .option("--password-only", "print only the password, for scripts")
    .action(async (deviceId: string, options: RegisterOptions, command: Command) => {
      const { gateway, output } = contextOf(command, io);
      const { passwordOnly = false, label: labels, ...described } = options;
      if (output.format === "name") {
        throw new CliError(exitCodes.usage, "-o name would hide the password, which is shown only once; use -o json.");
      }
      const made = await gateway.devices.register({ body: { deviceId, labels, ...described } });
      if (passwordOnly) return output.line(made.password);
      output.one(made, deviceId, () => {
        output.line(`${deviceId} is registered.`);
        output.line(`Password: ${made.password}`);
        output.line("Put it into the agent's file as mqtt.password; it cannot be shown again.");
      });
    });
  command
    .command("label")
    .argument("<id>", "device id")
    .argument("<labels...>", "KEY=VALUE sets a label, KEY- removes it", labelArgument)
    .description("change a device's labels")
    .action(async (id: string, labels: Readonly<Record<string, string | null>>, _: object, command: Command) => {
      const { gateway, output } = contextOf(command, io);
      const device = await gateway.devices.change({ deviceId: id, body: { labels } });
      output.one(device, id, () => output.line(`${id} is labelled: ${labelWords(device.labels) || "no labels"}`));
    });
  command
    .command("check")
    .argument("<id>", "device id")
    .description("run the model's golden frames on a device: does its preprocessing still give the right results?")
    .option("--wait", "wait for the result; exit 1 if a frame is not reproduced")
    .option("--timeout <SECONDS>", "how long to wait", positive, 120)
    .action((id: string, options: { wait?: boolean; timeout: number }, command: Command) =>
      check(contextOf(command, io), id, options),
    );
  command
    .command("revoke")
    .argument("<id>", "device id")
    .description("revoke a device: it can no longer connect, but stays listed")
    .action(async (id: string, _options: object, command: Command) => {
      const { gateway, output } = contextOf(command, io);
      const device = await gateway.devices.revoke({ deviceId: id });
      output.one(device, id, () => output.line(`${id} is revoked.`));
    });
  return command;
}

async function check(
  { gateway, output, io }: Context,
  deviceId: string,
  { wait, timeout }: { readonly wait?: boolean; readonly timeout: number },
): Promise<void> {
  const before = await gateway.devices.one({ deviceId });
  const requested = await gateway.devices.check({ deviceId });
  if (!wait) {
    return output.one(requested, deviceId, () => {
      output.line(`${deviceId} is requested to run its golden frames. See: tributary describe device ${deviceId}`);
    });
  }
  const answered = await waitingFor(io)(`waiting for ${deviceId}`, answerFrom());
  output.one(answered, deviceId, () => output.line(`${deviceId}: golden frames: ${goldenWords(answered)}`));
  const golden = answerOf(before, requested, answered);
  if (golden === null || !hasPassed(golden)) {
    const next =
      "Its preprocessing or its runtime differs from the one that packed the model; see: tributary drift list";
    throw new CliError(exitCodes.failed, `${deviceId} did not pass. ${next}`);
  }

  async function answerFrom(): Promise<Device> {
    const until = io.now() + timeout * 1_000;
    for (;;) {
      const device = await gateway.devices.one({ deviceId });
      if (answerOf(before, requested, device) !== null) return device;
      if (io.signal.aborted || io.now() >= until) {
        throw new CliError(exitCodes.failed, silenceWords(device, timeout));
      }
      await sleep(CHECK_POLL_MS, io.signal);
    }
  }
}

function showDevice(device: Device, { output, io }: Context): void {
  output.pairs([
    ["Device", device.deviceId],
    ["Status", device.status],
    ["Hardware", device.hardwareClass],
    ["Site", device.site],
    ["Labels", labelWords(device.labels)],
    ["Registered", device.registeredAt],
    ["Last seen", device.lastSeenAt === null ? null : `${device.lastSeenAt} (${ago(device.lastSeenAt, io.now())} ago)`],
  ]);
  const { reported, throttled = [] } = device; // Gateways of earlier versions do not have it.
  if (throttled.length > 0) {
    output.line();
    output.line(output.style("bold", "Throttled"));
    const since = (t: (typeof throttled)[number]) =>
      `by the ${t.by} since ${t.since} (${ago(t.since, io.now())}), ${t.count} times`;
    output.pairs(
      throttled.map((t) => [t.reason, since(t)] as const),
      "  ",
    );
  }
  output.line();
  if (reported === null) {
    output.line("It has not reported its model yet.");
    return;
  }
  output.line(output.style("bold", `Reported ${reported.reportedAt}`));
  output.pairs(
    [
      ["Agent", reported.agentVersion],
      ["Boot", reported.bootId],
      ["Clock", reported.clockState],
      ["Policy", reported.policyVersion],
      ["Cameras", reported.cameras.join(", ")],
      ["Schemas read", reported.acceptedSchemas.join(", ")],
      ["Golden frames", goldenWords(device)],
      ...drivingPairs(reported.driving ?? null),
      ...Object.entries(reported.slots).map(
        ([name, slot]) => [`Slot ${name}`, `${slot.modelName} ${slot.modelVersion} (${slot.modelDigest})`] as const,
      ),
    ],
    "  ",
  );
}

function drivingPairs(driving: NonNullable<Device["reported"]>["driving"]): readonly (readonly [string, string])[] {
  if (driving === null) return [];
  const { level, reason, since, isDegraded, lite } = driving;
  const details = [reason, ...(since === null ? [] : [`since ${since}`]), ...(isDegraded ? ["degraded"] : [])];
  return [
    ["Level", `${level} (${details.join(", ")})`],
    ["LITE", lite === null ? "none" : `${lite.modelName} ${lite.modelVersion} (${lite.modelDigest})`],
  ];
}
