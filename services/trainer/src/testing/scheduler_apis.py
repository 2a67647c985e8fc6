"""Kubeflow Pipelines and Azure ML as far as our requests go, each judged by the models that its makers publish.

Prints its port. What a model refuses is answered with 422 and the reason; a run or job is stored and goes through the states that
its maker lists. `GET /seen` returns every request with what is wrong with it. Paths of the wrong form are 404.
"""

import json
import re
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import kfp_server_api
from azure.mgmt.machinelearningservices import models as azure
from azure.mgmt.machinelearningservices._serialization import Deserializer, Serializer

AZURE_VERSION = "2024-04-01"
JOB = re.compile(
    r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.MachineLearningServices/workspaces/"
    r"[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}/jobs/([a-zA-Z0-9][a-zA-Z0-9\-_]{0,254})(/cancel)?"
)
RUN = re.compile(r"/apis/v2beta1/runs/([^/:]+)(:terminate)?")
classes = {name: value for name, value in vars(azure).items() if isinstance(value, type)}
jobs, runs, seen = {}, {}, []


def run_problems(body):
    """Fields that V2beta1Run and the models in it do not have, or that do not deserialise."""
    client = kfp_server_api.ApiClient()

    def unknown(value, kind, path):
        model = getattr(kfp_server_api, kind, None)
        if model is None or not isinstance(value, dict):
            return []
        keys = {key: model.openapi_types[name] for name, key in model.attribute_map.items()}
        return [f"{path}.{key}" for key in value if key not in keys] + [
            problem for key in value if key in keys for problem in unknown(value[key], keys[key], f"{path}.{key}")
        ]

    class Answer:
        data = json.dumps(body)

    try:
        client.deserialize(Answer, "V2beta1Run")
    except Exception as error:  # Whatever the client throws is a refusal.
        return [repr(error)]
    return unknown(body, "V2beta1Run", "run")


def job_problems(body):
    """What JobBase's CommandJob loses of our JSON or refuses: its round trip must give all of it back."""
    try:
        job = Deserializer(classes)("JobBase", body)
        errors = [
            f"{name} is missing"
            for name, rule in type(job.properties)._validation.items()
            if rule.get("required") and getattr(job.properties, name) is None
        ]
        again = Serializer(classes).body(job, "JobBase")
    except Exception as error:
        return [repr(error)]
    lost = [key for key, value in body["properties"].items() if again["properties"].get(key) != value]
    kind = type(job.properties).__name__
    return errors + lost + ([] if kind == "CommandJob" else [f"it is a {kind}"])


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def handle_any(self):
        length = int(self.headers.get("content-length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/seen":
            return self.reply(200, seen)
        status, answer = self.answer(url.path, query, body)
        seen.append({"method": self.command, "path": url.path, "status": status, "problems": answer.get("problems", [])})
        self.reply(status, answer)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

    def answer(self, path, query, body):
        if self.headers.get("authorization") != "Bearer token":
            return 401, {"problems": ["no token"]}
        if path == "/apis/v2beta1/runs":
            return self.create_run(body) if self.command == "POST" else self.list_runs(query)
        if found := RUN.fullmatch(path):
            run = runs.get(found[1])
            if run is None:
                return 404, {}
            if found[2]:
                run["states"] = ["CANCELING", "CANCELED"]
                return (200, {}) if self.command == "POST" else (405, {"problems": ["terminate is a POST"]})
            return 200, {**run["body"], "run_id": found[1], "state": next_of(run)}
        if found := JOB.fullmatch(path):
            return self.job(found[1], found[2], query, body)
        return 404, {"problems": [f"there is no {path}"]}

    def create_run(self, body):
        if problems := run_problems(body):
            return 422, {"problems": problems}
        run_id = str(uuid.uuid4())
        runs[run_id] = {"body": body, "states": kfp_server_api.V2beta1RuntimeState.allowable_values[1:4]}
        return 200, {**body, "run_id": run_id}

    def list_runs(self, query):
        """The filter is JSON of V2beta1Filter."""
        predicate = kfp_server_api.V2beta1Predicate
        allowed = {**dict.fromkeys(predicate.attribute_map.values())}
        (only,) = json.loads(query["filter"])["predicates"]
        problems = [key for key in only if key not in allowed]
        problems += [only["operation"]] if not hasattr(kfp_server_api.V2beta1PredicateOperation, only["operation"]) else []
        problems += [key for key in query if key not in {"filter", "page_size", "experiment_id"}]
        if problems or only["key"] != "display_name":
            return 422, {"problems": problems}
        found = [{**run["body"], "run_id": run_id} for run_id, run in runs.items() if run["body"]["display_name"] == only["string_value"]]
        return 200, {"runs": found} if found else {}

    def job(self, name, cancel, query, body):
        if query != {"api-version": AZURE_VERSION}:
            return 400, {"problems": [f"api-version is {query}"]}
        if self.command == "PUT":
            if problems := job_problems(body):
                return 422, {"problems": problems}
            states = [azure.JobStatus.QUEUED, azure.JobStatus.RUNNING, azure.JobStatus.COMPLETED]
            jobs[name] = {"body": body, "states": [state.value for state in states]}
            return 201, {**body, "name": name}
        if name not in jobs:
            return 404, {}
        if cancel:
            jobs[name]["states"] = [azure.JobStatus.CANCEL_REQUESTED.value, azure.JobStatus.CANCELED.value]
            return (202, {}) if self.command == "POST" else (405, {"problems": ["cancel is a POST"]})
        job = jobs[name]
        return 200, {"name": name, "properties": {**job["body"]["properties"], "status": next_of(job)}}

    def reply(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def next_of(one):
    """Each question finds the next state, and the last one for ever."""
    states = one["states"]
    return states.pop(0) if len(states) > 1 else states[0]


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
STATES = {"kubeflow": kfp_server_api.V2beta1RuntimeState.allowable_values, "azure": [state.value for state in azure.JobStatus]}
print(json.dumps(STATES), flush=True)
server.serve_forever()
