/** A verdict is looked at as it comes. The worker follows the topic itself: batches only show who owns the trainings. */
import { Controller } from "@nestjs/common";
import { EventPattern } from "@nestjs/microservices";
import { topics } from "@tributary/contracts";
import { Runs } from "./runs/runs.ts";

@Controller()
export class TrainerController {
  constructor(private readonly runs: Runs) {}

  @EventPattern<string>(topics.driftVerdicts.name)
  verdicts(): Promise<void> {
    return this.runs.look();
  }
}
