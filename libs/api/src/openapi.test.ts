import { describe, expect, test } from "@jest/globals";
import { z } from "zod";
import { openApiOf } from "./openapi.ts";

type Parameter = { readonly in: string; readonly name: string };
type Operation = {
  readonly operationId: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: {
    readonly content: { readonly "application/json": { readonly schema: { properties: object } } };
  };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { schema: object }>> }>>;
};
type Document = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly security?: unknown;
};

const documentOf = (more: object = {}) =>
  openApiOf({ version: "1", isAuthenticated: false, hasMetrics: true, documents: {}, ...more }) as unknown as Document;

/** One line an operation: method, path, operation id, query, fields of the body, statuses. */
const linesOf = ({ paths }: Document): string[] =>
  Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { operationId, parameters, requestBody, responses }]) => {
      const query = parameters.filter((one) => one.in === "query").map(({ name }) => name);
      const fields = Object.keys(requestBody?.content["application/json"].schema.properties ?? {});
      return [
        ...[method.toUpperCase(), path, operationId],
        ...(query.length > 0 ? [`?${query.join()}`] : []),
        ...(fields.length > 0 ? [`{${fields.join()}}`] : []),
        Object.keys(responses).join(),
      ].join(" ");
    }),
  );

/** As it was when decorators made it: who generated a client from it finds everything under the same name. */
const published = `
GET /api/v1/archive/frames ArchiveController_list ?device,site,why,since,until,sampleDrawn,labelled,limit,after 200,400,501,502,503
GET /api/v1/classifications AnswersController_list ?deviceId,source,settledBy,limit 200,400
GET /api/v1/classifications/events AnswersController_events ?deviceId,source,settledBy 200,400,503
GET /api/v1/classifications/{frameId} AnswersController_one 200,400,404,503
GET /api/v1/datasets DatasetsController_list ?model,kind,limit 200,400
GET /api/v1/datasets/{model}/{version} DatasetsController_one 200,404
GET /api/v1/datasets/{model}/{version}/manifest DatasetsController_manifest 200,404,501,502,503
GET /api/v1/datasets/{model}/{version}/dvc DatasetsController_dvc 200,404,501,502,503
GET /api/v1/devices DevicesController_list ?status,site,limit,after 200,400
POST /api/v1/devices DevicesController_register {deviceId,hardwareClass,site,labels} 201,400,409,503
GET /api/v1/devices/{deviceId} DevicesController_one 200,404
PATCH /api/v1/devices/{deviceId} DevicesController_change {labels} 200,400,404,409,422,503
DELETE /api/v1/devices/{deviceId} DevicesController_revoke 200,404,409,503
POST /api/v1/devices/{deviceId}/check DevicesController_check 202,404,409,503
GET /api/v1/drift DriftController_list ?state,cause,limit 200,400
GET /api/v1/drift/watch DriftController_watch ?state,cause 200,400,503
GET /api/v1/drift/profiles DriftController_profiles ?day,by 200,400,422,503
GET /api/v1/drift/reviews DriftController_reviews 200,400
POST /api/v1/drift/{verdictId}/reviews DriftController_review 200,400,404,409,422,503
GET /api/v1/drift/{verdictId} DriftController_one 200,404
GET /api/v1/drift/{verdictId}/report DriftController_report 200,404
GET /api/v1/experiments ExperimentsController_list ?name,phase,limit 200,400
POST /api/v1/experiments ExperimentsController_create {spec,by} 201,400,409,422,501,502,503
GET /api/v1/experiments/{uid} ExperimentsController_one 200,404
GET /api/v1/experiments/{uid}/events ExperimentsController_events ?after 200,400,404,503
GET /api/v1/experiments/{uid}/report ExperimentsController_report 200,404,503
POST /api/v1/experiments/{uid}/stop ExperimentsController_stop {by,why} 200,400,404,422,501,502,503
GET /api/v1/frames/{frameId}/explanation FramesController_explanation 200,400,404,503
GET /api/v1/frames/{frameId}/image FramesController_image 200,400,404,503
POST /api/v1/labels LabelsController_take {labels,allowUnknown,dryRun} 200,400,503
GET /api/v1/labels/next LabelsController_next ?limit,deviceId,why,training,by 200,400,404
GET /api/v1/models ModelsController_list 200,400
GET /api/v1/models/{name} ModelsController_one 200,404
GET /api/v1/models/{name}/{version} ModelsController_version 200,404
PUT /api/v1/models/{name}/aliases/{alias} ModelsController_alias {version,by} 200,400,501,502,503
DELETE /api/v1/models/{name}/aliases/{alias} ModelsController_unalias {by} 200,400,501,502,503
POST /api/v1/models/{name}/{version}/gate ModelsController_judge {by} 200,400,501,502,503
POST /api/v1/models/{name}/{version}/gate/force ModelsController_force {reason,by} 200,400,501,502,503
POST /api/v1/models/{name}/{version}/revoke ModelsController_revoke {reason,by} 200,400,501,502,503
GET /api/v1/policies PoliciesController_list 200,400
POST /api/v1/policies PoliciesController_push {policy,modelDigest,by} 201,400,422,503
GET /api/v1/policies/versions PoliciesController_versions ?model,limit 200,400
GET /api/v1/policies/{key} PoliciesController_one 200,404
GET /api/v1/rollouts RolloutsController_list ?name,uid,phase,model,limit 200,400
POST /api/v1/rollouts RolloutsController_create {spec,by} 201,400,409,501,502,503
GET /api/v1/rollouts/watch RolloutsController_watch ?name,uid,phase,model 200,400,503
GET /api/v1/rollouts/{uid} RolloutsController_one 200,404
GET /api/v1/rollouts/{uid}/events RolloutsController_events ?after 200,400,404,503
GET /api/v1/rollouts/{uid}/devices RolloutsController_devicesOf ?arm,runs,updatePhase,from,limit 200,400,404,503
GET /api/v1/rollouts/{uid}/report RolloutsController_report 200,404,503
POST /api/v1/rollouts/{uid}/commands RolloutsController_command {command,by,step} 200,400,404,409,422,501,502,503
GET /api/v1/trainings TrainingsController_list ?state,phase,model,limit 200,400
POST /api/v1/trainings TrainingsController_start {model,reason,slice,since,by} 201,400,409,422,501,502,503
GET /api/v1/trainings/watch TrainingsController_watch ?state,phase,model 200,400,503
GET /api/v1/trainings/{runId} TrainingsController_one 200,404
GET /api/v1/trainings/{runId}/events TrainingsController_events ?after 200,400,404,503
GET /api/v1/trainings/{runId}/logs TrainingsController_logs ?lines 200,400,404,501,502,503
GET /api/v1/trainings/{runId}/report TrainingsController_report 200,404
POST /api/v1/trainings/{runId}/cancel TrainingsController_cancel {by,reason} 200,400,404,422,501,502,503
POST /api/v1/trainings/{runId}/resume TrainingsController_resume {by} 200,400,404,422,501,502,503
GET /health/live OperationsController_live 200
GET /health/ready OperationsController_ready 200
GET /metrics MetricsController_metrics 200
`;

test("the OpenAPI document is the one that was published", () => {
  expect(linesOf(documentOf())).toEqual(published.trim().split("\n"));
});

describe("the OpenAPI document", () => {
  test("wants a token, and has metrics, where the gateway does", () => {
    expect(documentOf().security).toBeUndefined();
    expect(documentOf({ isAuthenticated: true }).security).toEqual([{ bearer: [] }]);
    expect(Object.keys(documentOf({ hasMetrics: false }).paths)).not.toContain("/metrics");
  });

  test("describes a document of the domain by the schema that its owner gives", () => {
    const analysis = z.object({ format: z.literal("tributary.analysis/1") });
    const { paths } = documentOf({ documents: { "tributary.analysis/1": analysis } });
    const { schema } = paths["/api/v1/rollouts/{uid}"]?.get?.responses["200"]?.content?.["application/json"] ?? {};
    expect(schema).toMatchObject({
      properties: {
        evidence: {
          anyOf: [{ properties: { format: expect.anything() } }, { type: "object" }],
          description: expect.stringContaining("analysis"),
        },
      },
    });
  });
});
