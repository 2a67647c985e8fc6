/** The fleet's price of a cloud call: rises while more is sent than the budget, falls while less (online dual ascent). */

/** lambda <- [lambda + eta (sent - rho)]+, once for every frame of the fleet, kept ones too. */
export const lambdaNext = (lambda: number, sent: 0 | 1, shareMax: number, eta: number): number =>
  Math.max(0, lambda + eta * (sent - shareMax));

/** The same for `frames` frames at once, `sent` of them sent. */
export const lambdaAfter = (lambda: number, frames: number, sent: number, shareMax: number, eta: number): number =>
  Math.max(0, lambda + eta * (sent - shareMax * frames));
