import { type DynamicModule, Inject, Module, type OnApplicationShutdown } from "@nestjs/common";
import { Classifier } from "./classifier.ts";
import { RequestsController } from "./requests.controller.ts";

@Module({})
export class ClassifierModule implements OnApplicationShutdown {
  constructor(@Inject(Classifier) private readonly classifier: Classifier) {}

  static of(classifier: Classifier): DynamicModule {
    return {
      module: ClassifierModule,
      controllers: [RequestsController],
      providers: [{ provide: Classifier, useValue: classifier }],
    };
  }

  /** After the consumers have drained: what they wait for needs the targets. */
  async onApplicationShutdown(): Promise<void> {
    await this.classifier.close();
  }
}
