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
