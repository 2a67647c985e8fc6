/** The whole route table: what is answered without a token is named here, one by one. */
import { expect, test } from "@jest/globals";
import { mountedRoutes } from "@tributary/service-kit";
import { doorOf } from "./door.ts";
import { FrameArchiveModule } from "./frame-archive.module.ts";

const door = doorOf({ auth: { tokens: ["a-token-for-the-tests"] } });
const wantsToken = ({ method, path }: { method: string; path: string }) =>
  door.wantsToken?.(method, path) !== false || door.readsPictures?.(method, path) === true;
const open = () =>
  mountedRoutes(FrameArchiveModule)
    .filter((route) => !wantsToken(route))
    .map(({ method, path }) => `${method} ${path}`);

test("every route but these wants a token", () => {
  expect(mountedRoutes(FrameArchiveModule).length).toBeGreaterThan(1);
  expect(open()).toEqual([]);
});

test("pictures, and lists of them, need a right even where there is no token, in any spelling of the path", () => {
  const paths = ["/frames", "/frames/f", "/Frames/f"];
  for (const path of paths) expect([path, door.readsPictures?.("GET", path)]).toEqual([path, true]);
  expect(["/health/live", "/metrics"].map((path) => door.readsPictures?.("GET", path))).toEqual([false, false]);
});
