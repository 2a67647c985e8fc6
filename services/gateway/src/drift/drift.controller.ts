import type { ServerResponse } from "node:http";
import { Body, Controller, Inject, Param, Query, Res } from "@nestjs/common";
import {
  type DriftFilter,
  type DriftProfileQuery,
  type DriftQuery,
  type DriftReviewRequest,
  publicApi,
} from "@tributary/api";
import { reportOf } from "@tributary/drift/report";
import { Serves } from "@tributary/service-kit";
import { HTML_PAGE } from "../http/html-page.ts";
import { EVENT_STREAM, eventsBusy } from "../http/subscribers.ts";
import { Valid } from "../http/validated.ts";
import { ProfileReader } from "./profile-reader.ts";
import { Reviews } from "./reviews.ts";
import { detailOf } from "./verdict.ts";
import { VERDICT_SUBSCRIBERS, type VerdictSubscribers, VerdictTable } from "./verdict-table.ts";

const routes = publicApi.drift;
const WATCHED_MAX = 1_000;

@Controller()
export class DriftController {
  constructor(
    private readonly table: VerdictTable,
    private readonly reader: ProfileReader,
    private readonly answers: Reviews,
    @Inject(VERDICT_SUBSCRIBERS) private readonly subscribers: VerdictSubscribers,
  ) {}

  @Serves(routes.list)
  list(@Query(Valid(routes.list.query)) { limit, ...filter }: DriftQuery) {
    return { items: this.table.list(filter, limit) };
  }

  @Serves(routes.watch)
  watch(@Query(Valid(routes.watch.query)) filter: DriftFilter, @Res() response: ServerResponse) {
    if (!this.subscribers.hasRoom) throw eventsBusy();
    response.writeHead(200, EVENT_STREAM);
    this.subscribers.add(response, filter, this.table.list(filter, WATCHED_MAX).reverse());
  }

  @Serves(routes.profiles)
  profiles(@Query(Valid(routes.profiles.query)) query: DriftProfileQuery) {
    return this.reader.profiles(query);
  }

  @Serves(routes.reviews)
  reviews(@Query(Valid(routes.reviews.query)) _none: object) {
    return { items: this.answers.counts() };
  }

  @Serves(routes.review)
  review(@Param("verdictId") verdictId: string, @Body(Valid(routes.review.body)) body: DriftReviewRequest) {
    return this.answers.review(verdictId, body);
  }

  @Serves(routes.one)
  one(@Param("verdictId") verdictId: string) {
    return detailOf(this.table.get(verdictId));
  }

  @Serves(routes.report)
  report(@Param("verdictId") verdictId: string, @Res() response: ServerResponse) {
    const page = reportOf(this.table.get(verdictId));
    response.writeHead(200, HTML_PAGE);
    response.end(page);
  }
}
