import type { ServerResponse } from "node:http";
import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query, Res } from "@nestjs/common";
import { ApiBody, ApiOperation, ApiParam, ApiProduces, ApiResponse, ApiTags } from "@nestjs/swagger";
import { reportOf } from "@tributary/rollout-report";
import { analysisEvidenceOf } from "@tributary/rollouts";
import { z } from "zod";
import { DeviceTable } from "../devices/device-table.ts";
import type { Upstream } from "../forwarding/upstream.ts";
import { Answers, openApiSchema, Problems, QueryOf } from "../http/api-doc.ts";
import { EVENT_STREAM, eventsBusy } from "../http/subscribers.ts";
import { validated } from "../http/validated.ts";
import { devicesOf, rolloutDevicesQuery, rolloutDevicesSchema } from "./arms.ts";
import {
  commandSchema,
  createSchema,
  eventSchema,
  eventView,
  rolloutDetailSchema,
  rolloutFilterSchema,
  rolloutSchema,
} from "./rollout.ts";
import { ROLLOUT_SUBSCRIBERS, type RolloutSubscribers, RolloutTable } from "./rollout-table.ts";

export const ROLLOUT_MANAGER = Symbol("rollout-manager");

const listSchema = rolloutFilterSchema.extend({ limit: z.coerce.number().int().min(1).max(1_000).default(100) });
const eventsSchema = z.strictObject({
  after: z.coerce.number().int().min(0).default(0).describe("Leaves out events up to this version."),
});
const WATCHED_MAX = 1_000;

const passed = [
  [501, "rollout-manager-not-configured"],
  [502, "rollout-manager-refuses, rollout-manager-rubbish"],
  [503, "rollout-manager-unreachable"],
] as const;
const UidParam = () => ApiParam({ name: "uid", schema: { type: "string" } });

@ApiTags("rollouts")
@Controller("api/v1/rollouts")
export class RolloutsController {
  constructor(
    private readonly table: RolloutTable,
    private readonly devices: DeviceTable,
    @Inject(ROLLOUT_SUBSCRIBERS) private readonly subscribers: RolloutSubscribers,
    @Inject(ROLLOUT_MANAGER) private readonly manager: Upstream,
  ) {}

  @Get()
  @ApiOperation({ summary: "Rollouts, newest first." })
  @QueryOf(listSchema)
  @Answers(200, "Rollouts as they stand.", z.object({ items: z.array(rolloutSchema) }))
  @Problems([400, "request-invalid"])
  list(@Query() query: unknown) {
    const { limit, ...filter } = validated(listSchema, query, "query");
    return { items: this.table.list(filter, limit) };
  }

  @Post()
  @ApiOperation({ summary: "Starts a rollout, by rollout-manager." })
  @ApiBody({ schema: openApiSchema(createSchema) })
  @Answers(201, "What rollout-manager answers: its uid.", z.looseObject({ uid: z.string() }))
  @Problems([400, "request-invalid"], [409, "rollout-conflict"], ...passed)
  create(@Body() body: unknown) {
    return this.manager.call({ method: "POST", path: ["rollouts"], body: validated(createSchema, body, "body") });
  }

  @Get("watch")
  @ApiOperation({
    summary: "Rollouts as they change, as server-sent events.",
    description:
      "Events named `rollout`: first each one that the filter leaves as it stands, then each change. Comments come as heartbeats. A client that does not read is disconnected; it may connect again.",
  })
  @QueryOf(rolloutFilterSchema)
  @ApiProduces("text/event-stream")
  @Problems([400, "request-invalid"], [503, "events-busy"])
  watch(@Query() query: unknown, @Res() response: ServerResponse) {
    const filter = validated(rolloutFilterSchema, query, "query");
    if (!this.subscribers.hasRoom) throw eventsBusy();
    response.writeHead(200, EVENT_STREAM);
    this.subscribers.add(response, filter, this.table.list(filter, WATCHED_MAX).reverse());
  }

  @Get(":uid")
  @ApiOperation({ summary: "One rollout: how it stands, its specification and its evidence." })
  @UidParam()
  @Answers(200, "The rollout.", rolloutDetailSchema)
  @Problems([404, "rollout-unknown"])
  one(@Param("uid") uid: string) {
    return this.table.get(uid);
  }

  @Get(":uid/events")
  @ApiOperation({ summary: "What happened to a rollout, in order: only events that count." })
  @UidParam()
  @QueryOf(eventsSchema)
  @Answers(200, "Its events.", z.object({ items: z.array(eventSchema) }))
  @Problems([400, "request-invalid"], [404, "rollout-unknown"], [503, "history-bounded, search-busy"])
  async events(@Param("uid") uid: string, @Query() query: unknown) {
    const { after } = validated(eventsSchema, query, "query");
    const events = await this.table.history(uid);
    return { items: events.filter(({ version }) => version > after).map(eventView) };
  }

  @Get(":uid/devices")
  @ApiOperation({ summary: "The devices of a rollout: order, arm, and what each says that it runs." })
  @UidParam()
  @QueryOf(rolloutDevicesQuery)
  @Answers(200, "Its devices, in the order in which it reaches them.", rolloutDevicesSchema)
  @Problems([400, "request-invalid"], [404, "rollout-unknown"], [503, "history-bounded, search-busy"])
  async devicesOf(@Param("uid") uid: string, @Query() query: unknown) {
    const wanted = validated(rolloutDevicesQuery, query, "query");
    return devicesOf(await this.table.history(uid), (deviceId) => this.devices.heard(deviceId), wanted);
  }

  @Get(":uid/report")
  @ApiOperation({ summary: "A page for people: what was seen, what was decided, and why." })
  @UidParam()
  @ApiProduces("text/html")
  @ApiResponse({ status: 200, description: "One HTML file that needs nothing else." })
  @Problems([404, "rollout-unknown"], [503, "history-bounded, search-busy"])
  async report(@Param("uid") uid: string, @Res() response: ServerResponse) {
    const events = await this.table.history(uid);
    const { model, stable, evidence } = this.table.get(uid);
    const page = reportOf(events, { model, stable, live: analysisEvidenceOf(evidence) });
    response.writeHead(200, {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    });
    response.end(page);
  }

  @Post(":uid/commands")
  @HttpCode(200)
  @ApiOperation({
    summary: "Tells a rollout what to do, by rollout-manager: pause, resume, promote, abort, retry, undo.",
  })
  @UidParam()
  @ApiBody({ schema: openApiSchema(commandSchema) })
  @Answers(200, "What rollout-manager answers.", z.looseObject({}))
  @Problems(
    [400, "request-invalid"],
    [404, "rollout-unknown"],
    [409, "rollout-changed"],
    [422, "rollout-command-refused"],
    ...passed,
  )
  command(@Param("uid") uid: string, @Body() body: unknown) {
    const wanted = validated(commandSchema, body, "body");
    return this.manager.call({ method: "POST", path: ["rollouts", uid, "commands"], body: wanted });
  }
}
