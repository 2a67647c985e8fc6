export function python(name: string): string;
export function debian(program: string, pkg?: string): string;
export function node20(): string;
export function apicurio(): string;
export function flinkJars(): string;
export function go(): string;
export function telegraf(): string;
export function goProgram(folder: string): string;
export function preparePeers(step: (name: string, work: () => Promise<unknown>) => Promise<unknown>): Promise<void>;
