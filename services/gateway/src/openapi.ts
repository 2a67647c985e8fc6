import type { INestApplication } from "@nestjs/common";
import { DocumentBuilder, SwaggerModule } from "@nestjs/swagger";
import { API_VERSION } from "./version.ts";

/** `/api/v1/openapi.json`, and the same for people at `/api/v1/docs`. */
export function serveOpenApi(app: INestApplication, authenticated: boolean): void {
  const builder = new DocumentBuilder()
    .setTitle("Tributary")
    .setDescription(
      "Final answers, devices and routing policies; the Kafka topics are described at [/asyncapi](/asyncapi). 64-bit numbers are decimal strings, times are RFC 3339 in UTC. Errors are RFC 9457 problem details with a stable `code`; unknown query parameters and body fields are refused by name.",
    )
    .setVersion(API_VERSION)
    .setLicense("Apache-2.0", "https://www.apache.org/licenses/LICENSE-2.0");
  if (authenticated) builder.addBearerAuth().addSecurityRequirements("bearer");
  const document = () => SwaggerModule.createDocument(app, builder.build());
  SwaggerModule.setup("api/v1/docs", app, document, { jsonDocumentUrl: "api/v1/openapi.json" });
}
