/** Which devices a model package fits: the one rule that registry, rollouts and agents follow. */

/** Hardware classes of packages that are made for no hardware in particular. */
export const anyHardware: readonly string[] = ["generic", "any"];

/** Whether a package of this hardware class may run on a device of that one. */
export const fitsHardware = (packageClass: string, deviceClass: string): boolean =>
  anyHardware.includes(packageClass) || packageClass === deviceClass;
