import { Body, Controller, Param, Query } from "@nestjs/common";
import { type DevicePatch, type DeviceQuery, publicApi, type RegistrationRequest } from "@tributary/api";
import { Serves } from "@tributary/service-kit";
import { Valid } from "../http/validated.ts";
import { DeviceTable } from "./device-table.ts";
import { Registrar, unknownDevice } from "./registrar.ts";

const { devices } = publicApi;

@Controller()
export class DevicesController {
  constructor(
    private readonly table: DeviceTable,
    private readonly registrar: Registrar,
  ) {}

  @Serves(devices.list)
  list(@Query(Valid(devices.list.query)) query: DeviceQuery) {
    return this.table.page(query);
  }

  @Serves(devices.register)
  register(@Body(Valid(devices.register.body)) request: RegistrationRequest) {
    return this.registrar.register(request);
  }

  @Serves(devices.one)
  one(@Param("deviceId") deviceId: string) {
    const device = this.table.get(deviceId);
    if (device === undefined) throw unknownDevice(deviceId);
    return device;
  }

  @Serves(devices.change)
  change(@Param("deviceId") deviceId: string, @Body(Valid(devices.change.body)) patch: DevicePatch) {
    return this.registrar.change(deviceId, patch);
  }

  @Serves(devices.check)
  check(@Param("deviceId") deviceId: string) {
    return this.registrar.requestCheck(deviceId);
  }

  @Serves(devices.revoke)
  revoke(@Param("deviceId") deviceId: string) {
    return this.registrar.revoke(deviceId);
  }
}
