import type { ServerResponse } from "node:http";
import { Body, Controller, Inject, Param, Query, Res } from "@nestjs/common";
import {
  publicApi,
  type RolloutCommandRequest,
  type RolloutDevicesQuery,
  type RolloutEventQuery,
  type RolloutFilter,
  type RolloutQuery,
  type RolloutRequest,
  rolloutManagerApi,
} from "@tributary/api";
import { analysisEvidenceOf } from "@tributary/rollouts";
import { reportOf } from "@tributary/rollouts/report";
import { Serves } from "@tributary/service-kit";
import { DeviceTable } from "../devices/device-table.ts";
import type { Upstream } from "../forwarding/upstream.ts";
import { HTML_PAGE } from "../http/html-page.ts";
import { EVENT_STREAM, eventsBusy } from "../http/subscribers.ts";
import { Valid } from "../http/validated.ts";
import { devicesOf } from "./arms.ts";
import { eventView } from "./rollout.ts";
import { ROLLOUT_SUBSCRIBERS, type RolloutSubscribers, RolloutTable } from "./rollout-table.ts";

export const ROLLOUT_MANAGER = Symbol("rollout-manager");

const routes = publicApi.rollouts;
const manager = rolloutManagerApi.rollouts;
const WATCHED_MAX = 1_000;

@Controller()
export class RolloutsController {
  constructor(
    private readonly table: RolloutTable,
    private readonly devices: DeviceTable,
    @Inject(ROLLOUT_SUBSCRIBERS) private readonly subscribers: RolloutSubscribers,
    @Inject(ROLLOUT_MANAGER) private readonly upstream: Upstream,
  ) {}

  @Serves(routes.list)
  list(@Query(Valid(routes.list.query)) { limit, ...filter }: RolloutQuery) {
    return { items: this.table.list(filter, limit) };
  }

  @Serves(routes.create)
  create(@Body(Valid(routes.create.body)) body: RolloutRequest) {
    return this.upstream.call(manager.create, { body });
  }

  @Serves(routes.watch)
  watch(@Query(Valid(routes.watch.query)) filter: RolloutFilter, @Res() response: ServerResponse) {
    if (!this.subscribers.hasRoom) throw eventsBusy();
    response.writeHead(200, EVENT_STREAM);
    this.subscribers.add(response, filter, this.table.list(filter, WATCHED_MAX).reverse());
  }

  @Serves(routes.one)
  one(@Param("uid") uid: string) {
    return this.table.get(uid);
  }

  @Serves(routes.events)
  async events(@Param("uid") uid: string, @Query(Valid(routes.events.query)) { after }: RolloutEventQuery) {
    const events = await this.table.history(uid);
    return { items: events.filter(({ version }) => version > after).map(eventView) };
  }

  @Serves(routes.devicesOf)
  async devicesOf(@Param("uid") uid: string, @Query(Valid(routes.devicesOf.query)) query: RolloutDevicesQuery) {
    return devicesOf(await this.table.history(uid), (deviceId) => this.devices.heard(deviceId), query);
  }

  @Serves(routes.report)
  async report(@Param("uid") uid: string, @Res() response: ServerResponse) {
    const events = await this.table.history(uid);
    const { model, stable, evidence } = this.table.get(uid);
    const page = reportOf(events, { model, stable, live: analysisEvidenceOf(evidence) });
    response.writeHead(200, HTML_PAGE);
    response.end(page);
  }

  @Serves(routes.command)
  command(@Param("uid") uid: string, @Body(Valid(routes.command.body)) body: RolloutCommandRequest) {
    return this.upstream.call(manager.command, { uid, body });
  }
}
