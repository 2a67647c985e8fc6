export class MlflowImporter {
  constructor(_o: unknown) {}
  start(): void {}
  async stop(): Promise<void> {}
}
