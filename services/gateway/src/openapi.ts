import type { ServerResponse } from "node:http";
import type { INestApplication } from "@nestjs/common";
import { type OpenAPIObject, SwaggerModule } from "@nestjs/swagger";
import { openApiOf } from "@tributary/api";
import { analysisEvidence } from "@tributary/rollouts";
import type { GatewayConfig } from "./config.ts";
import { DOCS_PAGE } from "./http/html-page.ts";
import { API_VERSION } from "./version.ts";

const DOCS = "api/v1/docs";

/** `/api/v1/openapi.json`, and the same for people at `/api/v1/docs`. */
export function serveOpenApi(app: INestApplication, { auth, http }: GatewayConfig): void {
  const document = openApiOf({
    version: API_VERSION,
    isAuthenticated: auth.tokens.length > 0,
    hasMetrics: http.metricsPort === undefined,
    documents: { "tributary.analysis/1": analysisEvidence },
  });
  app.use(`/${DOCS}`, (_request: unknown, response: ServerResponse, next: () => void) => {
    for (const [name, value] of Object.entries(DOCS_PAGE)) response.setHeader(name, value);
    next();
  });
  SwaggerModule.setup(DOCS, app, document as OpenAPIObject, { jsonDocumentUrl: "api/v1/openapi.json" });
}
