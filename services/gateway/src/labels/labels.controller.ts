import { Body, Controller, Query } from "@nestjs/common";
import { type LabelBatch, type NextLabelQuery, publicApi } from "@tributary/api";
import { Serves } from "@tributary/service-kit";
import { Valid } from "../http/validated.ts";
import { Labels } from "./labels.ts";

const routes = publicApi.labels;

@Controller()
export class LabelsController {
  constructor(private readonly labels: Labels) {}

  @Serves(routes.take)
  take(@Body(Valid(routes.take.body)) batch: LabelBatch) {
    return this.labels.take(batch);
  }

  @Serves(routes.next)
  next(@Query(Valid(routes.next.query)) { limit, ...filter }: NextLabelQuery) {
    return { items: this.labels.next(filter, limit) };
  }
}
