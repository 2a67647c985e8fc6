import { expect } from "@jest/globals";

/** Each tag of the page closed in its turn, and nothing fetched from elsewhere. */
export function expectSelfContained(page: string): void {
  const open: string[] = [];
  const empty = /^(meta|link|br|rect|line|circle|polyline|polygon|!doctype)$/;
  for (const [, slash, name = "", rest = ""] of page.matchAll(/<(\/?)([a-z0-9!]+)((?:"[^"]*"|[^">])*)>/gi)) {
    if (slash === "/") expect(open.pop()).toBe(name);
    else if (!empty.test(name) && !rest.endsWith("/")) open.push(name);
  }
  expect(open).toEqual([]);
  expect(page).not.toMatch(/<script|\b(src|href)=|url\((?!#)|https?:|NaN|Infinity|undefined|\[object/);
}
