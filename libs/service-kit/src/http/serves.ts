import { applyDecorators, HttpCode, RequestMapping, RequestMethod } from "@nestjs/common";
import type { Route } from "@tributary/api";

/** Mounts a handler at a route of an API: its method, path and status of success. */
export const Serves = ({ method, path, status = 200 }: Route): MethodDecorator =>
  applyDecorators(
    RequestMapping({ path: path.replaceAll(/\{(\w+)\}/g, ":$1"), method: RequestMethod[method] }),
    HttpCode(status),
  );
