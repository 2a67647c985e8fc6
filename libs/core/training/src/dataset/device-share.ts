/**
 * How much one device may contribute.
 *
 * V1. Of 20 devices and more, none has more than 5 % of the frames that are chosen (rounded up). So one device that sends wrong pictures,
 *     or is labelled wrongly, is bounded by that however many frames it has.
 * V2. Of fewer devices, none has more than its equal part of what was wanted: it cannot fill in for others. A bound by what is chosen
 *     would, of two devices of which one has five frames, choose ten.
 */
export const DEVICE_SHARE_MAX = 0.05;

/** The first `wanted` frames, in their order, within the bound. */
export function withinShares<F extends { readonly deviceId: string }>(
  frames: readonly F[],
  wanted: number,
): { readonly frames: readonly F[]; readonly overShare: number } {
  const devices = new Map<string, number>();
  for (const { deviceId } of frames) devices.set(deviceId, (devices.get(deviceId) ?? 0) + 1);
  const counts = [...devices.values()];
  const share = Math.max(DEVICE_SHARE_MAX, 1 / counts.length);
  let chosen = Math.min(wanted, frames.length);
  let cap = Math.ceil(chosen * share);
  const hasFew = counts.length < 1 / DEVICE_SHARE_MAX;
  // V1. Fewer frames lower the bound, which leaves fewer frames: until both agree.
  for (let isStable = hasFew; !isStable; ) {
    const within = Math.min(
      wanted,
      counts.reduce((sum, count) => sum + Math.min(count, cap), 0),
    );
    isStable = within >= chosen;
    chosen = within;
    cap = Math.ceil(chosen * share);
  }
  const taken = new Map<string, number>();
  let overShare = 0;
  const within = frames.filter(({ deviceId }) => {
    const own = (taken.get(deviceId) ?? 0) + 1;
    if (own > cap) overShare += 1;
    else taken.set(deviceId, own);
    return own <= cap;
  });
  return { frames: within.slice(0, wanted), overShare };
}
