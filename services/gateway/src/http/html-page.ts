/** Headers of a page that needs nothing else and runs nothing. */
export const HTML_PAGE = {
  "content-type": "text/html; charset=utf-8",
  "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
} as const;
