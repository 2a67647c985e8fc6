/** Headers of a page that needs nothing else and runs nothing. */
export const HTML_PAGE = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
} as const;

/** It also shows pictures of this gateway. */
export const HTML_PAGE_WITH_PICTURES = {
  ...HTML_PAGE,
  "content-security-policy": `${HTML_PAGE["content-security-policy"]}; img-src 'self'`,
} as const;

/** Headers of Swagger UI: files of this gateway run, none of its text does, and it asks this gateway alone. Its icons are data URLs. */
export const DOCS_PAGE = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
} as const;
