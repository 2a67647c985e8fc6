import type { INestApplication } from "@nestjs/common";
import { type OpenAPIObject, SwaggerModule } from "@nestjs/swagger";
import { openApiOf } from "@tributary/api";
import { analysisEvidence } from "@tributary/rollouts";
import type { GatewayConfig } from "./config.ts";
import { API_VERSION } from "./version.ts";

/** `/api/v1/openapi.json`, and the same for people at `/api/v1/docs`. */
export function serveOpenApi(app: INestApplication, { auth, http }: GatewayConfig): void {
  const document = openApiOf({
    version: API_VERSION,
    isAuthenticated: auth.tokens.length > 0,
    hasMetrics: http.metricsPort === undefined,
    documents: { "tributary.analysis/1": analysisEvidence },
  });
  SwaggerModule.setup("api/v1/docs", app, document as OpenAPIObject, { jsonDocumentUrl: "api/v1/openapi.json" });
}
