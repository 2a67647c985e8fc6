import { Body, Controller, Delete, Get, Param, Post, Query } from "@nestjs/common";
import { ApiBody, ApiOperation, ApiParam, ApiTags } from "@nestjs/swagger";
import { Answers, openApiSchema, Problems, QueryOf } from "../http/api-doc.ts";
import { validated } from "../http/validated.ts";
import { devicePageSchema, deviceQuerySchema, deviceSchema, registeredSchema, registrationSchema } from "./device.ts";
import { DeviceTable } from "./device-table.ts";
import { Registrar, unknownDevice } from "./registrar.ts";

@ApiTags("devices")
@Controller("api/v1/devices")
export class DevicesController {
  constructor(
    private readonly table: DeviceTable,
    private readonly registrar: Registrar,
  ) {}

  @Get()
  @ApiOperation({ summary: "The fleet: who is registered, what each device runs, when it was last heard." })
  @QueryOf(deviceQuerySchema)
  @Answers(200, "Devices, by id: at most `limit`, and how to ask for those after them.", devicePageSchema)
  @Problems([400, "request-invalid"])
  list(@Query() query: unknown) {
    return this.table.page(validated(deviceQuerySchema, query, "query"));
  }

  @Post()
  @ApiOperation({ summary: "Registers a device; answers once Kafka has it. The password is shown this once." })
  @ApiBody({ schema: openApiSchema(registrationSchema) })
  @Answers(201, "The device and its password.", registeredSchema)
  @Problems([400, "request-invalid"], [409, "device-exists, device-changing"], [503, "kafka-unavailable"])
  register(@Body() body: unknown) {
    return this.registrar.register(validated(registrationSchema, body, "body"));
  }

  @Get(":deviceId")
  @ApiOperation({ summary: "One device." })
  @ApiParam({ name: "deviceId", schema: { type: "string" } })
  @Answers(200, "The device.", deviceSchema)
  @Problems([404, "device-unknown"])
  one(@Param("deviceId") deviceId: string) {
    const device = this.table.get(deviceId);
    if (device === undefined) throw unknownDevice(deviceId);
    return device;
  }

  @Delete(":deviceId")
  @ApiOperation({ summary: "Revokes a device: it may no longer connect. It stays listed as REVOKED." })
  @ApiParam({ name: "deviceId", schema: { type: "string" } })
  @Answers(200, "The revoked device.", deviceSchema)
  @Problems([404, "device-unknown"], [409, "device-changing"], [503, "kafka-unavailable"])
  revoke(@Param("deviceId") deviceId: string) {
    return this.registrar.revoke(deviceId);
  }
}
