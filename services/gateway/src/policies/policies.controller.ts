import { Controller, Get, Param, Query } from "@nestjs/common";
import { ApiOperation, ApiParam, ApiTags } from "@nestjs/swagger";
import type { RoutingPolicy } from "@tributary/contracts";
import { Problem } from "@tributary/service-kit";
import { z } from "zod";
import { isoOf } from "../answers/answer.ts";
import { Answers, Problems } from "../http/api-doc.ts";
import { validated } from "../http/validated.ts";
import { PolicyTable } from "./policy-table.ts";

const policySchema = z
  .looseObject({
    key: z.string().describe("modelDigest|cloudTarget"),
    policyVersion: z.string(),
    modelDigest: z.string(),
    cloudTarget: z.string(),
    createdAt: z.string(),
    scoreMin: z.number(),
    deadlineMs: z.number().int(),
    escalationShareMax: z.number(),
  })
  .describe("All fields of the RoutingPolicy record, and its key.");

const shown = (key: string, policy: RoutingPolicy) => ({
  key,
  ...policy,
  createdAt: isoOf(policy.createdAt) ?? "",
});

@ApiTags("policies")
@Controller("api/v1/policies")
export class PoliciesController {
  constructor(private readonly table: PolicyTable) {}

  @Get()
  @ApiOperation({ summary: "The routing policies in force." })
  @Answers(200, "Policies, by key.", z.object({ items: z.array(policySchema) }))
  @Problems([400, "request-invalid"])
  list(@Query() query: unknown) {
    validated(z.strictObject({}), query, "query");
    return { items: this.table.list().map(({ key, policy }) => shown(key, policy)) };
  }

  @Get(":key")
  @ApiOperation({ summary: "One routing policy." })
  @ApiParam({ name: "key", description: "modelDigest|cloudTarget", schema: { type: "string" } })
  @Answers(200, "The policy.", policySchema)
  @Problems([404, "policy-unknown"])
  one(@Param("key") key: string) {
    const policy = this.table.get(key);
    if (policy === undefined) {
      const detail = `No policy has the key ${key}. GET /api/v1/policies lists them.`;
      throw new Problem(404, "policy-unknown", "give-up", detail);
    }
    return shown(key, policy);
  }
}
