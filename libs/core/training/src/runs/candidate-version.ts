/** Name of the version that a run makes: the next minor of its parent, and the run, so that no two runs make the same. */

/** Of a version of the registry: 64 characters. */
const VERSION_LENGTH_MAX = 64;

export function candidateVersion(parentVersion: string, runId: string): string {
  const [, major = "0", minor = "0"] = /^v?(\d{1,9})(?:\.(\d{1,9}))?(?:[.-]|$)/.exec(parentVersion) ?? [];
  return `${Number(major)}.${Number(minor) + 1}.0-${runId}`.slice(0, VERSION_LENGTH_MAX);
}
