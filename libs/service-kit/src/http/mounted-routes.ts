/** The route table of a Nest module, read from what its controllers declare: nothing is started. */
import "reflect-metadata";
import { type DynamicModule, RequestMethod, type Type } from "@nestjs/common";
import { METHOD_METADATA, MODULE_METADATA, PATH_METADATA } from "@nestjs/common/constants.js";

export type MountedRoute = { readonly method: string; readonly path: string };

/** Sorted by path; parameters are as they are written, e.g. `/models/:name`. */
export function mountedRoutes(module: Type | DynamicModule): readonly MountedRoute[] {
  const seen = new Set<unknown>();
  const routes = routesIn(module, seen);
  return routes.sort((a, b) => `${a.path} ${a.method}`.localeCompare(`${b.path} ${b.method}`));
}

function routesIn(module: Type | DynamicModule, seen: Set<unknown>): MountedRoute[] {
  if (seen.has(module)) return [];
  seen.add(module);
  const type = "module" in module ? module.module : module;
  const own: Partial<DynamicModule> = "module" in module ? module : {};
  const declared = <T>(what: "imports" | "controllers"): readonly T[] => [
    ...((Reflect.getMetadata(MODULE_METADATA[what.toUpperCase() as "IMPORTS" | "CONTROLLERS"], type) ?? []) as T[]),
    ...((own[what] ?? []) as T[]),
  ];
  return [
    ...declared<Type>("controllers").flatMap(routesOf),
    ...declared<Type | DynamicModule>("imports").flatMap((each) => routesIn(each, seen)),
  ];
}

function routesOf(controller: Type): readonly MountedRoute[] {
  const base = String(Reflect.getMetadata(PATH_METADATA, controller) ?? "/");
  const { prototype } = controller;
  return Object.getOwnPropertyNames(prototype).flatMap((name) => {
    const handler = Object.getOwnPropertyDescriptor(prototype, name)?.value as object | undefined;
    if (typeof handler !== "function") return [];
    const path = Reflect.getMetadata(PATH_METADATA, handler) as string | readonly string[] | undefined;
    if (path === undefined) return [];
    const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler) as number] ?? "ALL";
    return [path].flat().map((each) => ({ method, path: `/${base}/${each}`.replace(/\/+/g, "/") }));
  });
}
