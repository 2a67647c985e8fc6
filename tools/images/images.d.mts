export const TARGETS: readonly string[];
/** Of all images of this project. */
export const TAG: string;
export function requirePrograms(): void;
export function storageEnv(runDir?: string): NodeJS.ProcessEnv;
export function buildImages(options?: {
  readonly targets?: readonly string[];
  readonly log?: (line: string) => void;
}): Promise<readonly { readonly target: string; readonly seconds: number; readonly bytes: number }[]>;
export function imageName(target: string): string;
export function saveImages(
  file: string,
  options?: { readonly targets?: readonly string[]; readonly others?: readonly string[] },
): Promise<void>;
