import { Body, Controller, Param, Query } from "@nestjs/common";
import { type PolicyPush, type PolicyVersionsQuery, publicApi } from "@tributary/api";
import { policyKey, type RoutingPolicy } from "@tributary/contracts";
import { Problem, Serves } from "@tributary/service-kit";
import { isoOf } from "../answers/answer.ts";
import { Valid } from "../http/validated.ts";
import { PolicyTable } from "./policy-table.ts";
import { PolicyVersions } from "./policy-versions.ts";

const { policies } = publicApi;

const shown = (key: string, policy: RoutingPolicy) => ({
  key,
  ...policy,
  createdAt: isoOf(policy.createdAt) ?? "",
});

@Controller()
export class PoliciesController {
  constructor(
    private readonly table: PolicyTable,
    private readonly stored: PolicyVersions,
  ) {}

  @Serves(policies.list)
  list(@Query(Valid(policies.list.query)) _none: object) {
    return { items: this.table.list().map(({ key, policy }) => shown(key, policy)) };
  }

  @Serves(policies.push)
  push(@Body(Valid(policies.push.body)) body: PolicyPush) {
    return this.stored.push(body);
  }

  @Serves(policies.versions)
  versions(@Query(Valid(policies.versions.query)) { model = "", limit }: PolicyVersionsQuery) {
    const wanted = this.table.versions().filter(({ policy }) => policy.modelDigest.startsWith(model));
    const keyOf = ({ modelDigest, cloudTarget }: RoutingPolicy) => policyKey(modelDigest, cloudTarget);
    return {
      items: wanted.slice(0, limit).map(({ policy, inForce }) => ({ ...shown(keyOf(policy), policy), inForce })),
    };
  }

  @Serves(policies.one)
  one(@Param("key") key: string) {
    const policy = this.table.get(key);
    if (policy === undefined) {
      const detail = `No policy has the key ${key}. GET /api/v1/policies lists them.`;
      throw new Problem(404, "policy-unknown", "give-up", detail);
    }
    return shown(key, policy);
  }
}
