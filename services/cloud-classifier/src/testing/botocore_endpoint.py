"""A SageMaker endpoint that judges every request by botocore's own model of the service.

It prints its port. `POST /endpoints/NAME/invocations` is the service's; `POST /script` takes a list of what to answer next:
{"variant", "body", "custom"} or {"error": NAME, "retryAfter", ...members}; `GET /seen` returns the requests and what is
wrong with each of them. What is not scripted is answered as the TargetVariant's default, given as arguments VARIANT=JSON.
"""

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

MODEL = ServiceModel(Loader().load_service_model("sagemaker-runtime", "service-2"), "sagemaker-runtime")
INVOKE = MODEL.operation_model("InvokeEndpoint")
CREDENTIALS = Credentials("AKIDEXAMPLE", "secret")
REGION = "eu-central-1"
DEFAULTS = dict(argument.split("=", 1) for argument in sys.argv[1:])
DEFAULT_VARIANT = next(iter(DEFAULTS))

seen = []
script = []


def params_of(path, headers, body):
    """The call's parameters, read by the places that the model gives them, and the headers that have none."""
    params = {"Body": body}
    names = {}
    match = re.fullmatch(INVOKE.http["requestUri"].replace("{EndpointName}", "([^/]+)"), path)
    for name, shape in INVOKE.input_shape.members.items():
        place = shape.serialization.get("location")
        if place == "uri" and match:
            params[name] = unquote(match.group(1))
        elif place == "header":
            names[shape.serialization["name"].lower()] = name
    strangers = []
    for key, value in headers.items():
        if key.lower() in names:
            params[names[key.lower()]] = value
        elif key.lower().startswith("x-amzn-"):
            strangers.append(key)
    return params, strangers


def bounds_problems(params):
    """Lengths and patterns, which botocore's own validator leaves to the service."""
    for name, value in params.items():
        meta = INVOKE.input_shape.members[name].metadata
        if "max" in meta and len(value) > meta["max"]:
            yield f"{name}: {len(value)} > {meta['max']}"
        if "min" in meta and len(value) < meta["min"]:
            yield f"{name}: {len(value)} < {meta['min']}"
        if isinstance(value, str) and not value.isascii():
            yield f"{name}: not ASCII"
        pattern = meta.get("pattern", "").replace(r"\p{ASCII}", r"[\x00-\x7f]").replace(r"[\p{Print}]", r"[\x20-\x7e]")
        if isinstance(value, str) and pattern and not re.match(pattern.replace(r"\z", r"\Z"), value):
            yield f"{name}: {value!r} is not {pattern}"


def wire_problems(params, headers):
    """What botocore itself would have sent of these parameters, against what came."""
    wanted = create_serializer("rest-json").serialize_to_request(params, INVOKE)
    for key, value in wanted["headers"].items():
        if headers.get(key.lower()) != value:
            yield f"{key}: {headers.get(key.lower())!r}, botocore sends {value!r}"


def signature_problems(path, headers, body):
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=(\w+)", headers.get("authorization", "")
    )
    if not found:
        return ["it is not signed"]
    date = headers["x-amz-date"]
    if found.group(1) != f"{CREDENTIALS.access_key}/{date[:8]}/{REGION}/sagemaker/aws4_request":
        return [f"credential {found.group(1)}"]
    signed = {key: headers[key] for key in found.group(2).split(";")}
    request = AWSRequest("POST", f"http://{headers['host']}{path}", headers=signed, data=body)
    request.context["timestamp"] = date
    auth = SigV4Auth(CREDENTIALS, "sagemaker", REGION)
    auth.headers_to_sign = lambda _: request.headers
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    return [] if signature == found.group(3) else ["the signature is not ours"]


class Endpoint(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.answer(200, json.dumps(seen).encode(), {"content-type": "application/json"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/script":
            script.extend(json.loads(body))
            return self.answer(204, b"", {})
        headers = {key.lower(): value for key, value in self.headers.items()}
        params, strangers = params_of(self.path, headers, body)
        report = ParamValidator().validate(params, INVOKE.input_shape)
        problems = [f"{name}: unknown header" for name in strangers]
        problems += [report.generate_report()] if report.has_errors() else []
        problems += [*bounds_problems(params), *wire_problems(params, headers)]
        problems += signature_problems(self.path, headers, body)
        seen.append({"problems": problems, **{k: v for k, v in params.items() if k != "Body"}, "bytes": len(body)})
        if problems:
            return self.fail({"error": "ValidationError", "Message": "; ".join(problems)})
        step = script.pop(0) if script else {}
        if "error" in step:
            return self.fail(step)
        variant = step.get("variant", params.get("TargetVariant", DEFAULT_VARIANT))
        answer = step.get("body", DEFAULTS.get(variant, "")).encode()
        name = INVOKE.output_shape.members["InvokedProductionVariant"].serialization["name"]
        reply_headers = {"content-type": "application/json", name: variant}
        parsed = create_parser("rest-json").parse(
            {"headers": reply_headers, "status_code": 200, "body": answer, "context": {}}, INVOKE.output_shape
        )
        assert parsed["InvokedProductionVariant"] == variant
        self.answer(200, answer, reply_headers)

    def fail(self, step):
        """An error as the model describes it; one that no model has, like throttling, is a 400."""
        error = step["error"]
        shapes = {shape.name: shape for shape in INVOKE.error_shapes}
        status = shapes[error].metadata["error"]["httpStatusCode"] if error in shapes else 400
        members = {k: v for k, v in step.items() if k not in ("error", "retryAfter")}
        assert error not in shapes or set(members) <= set(shapes[error].members), f"{error} has no {members}"
        headers = {"content-type": "application/json", "x-amzn-errortype": error}
        if "retryAfter" in step:
            headers["retry-after"] = str(step["retryAfter"])
        self.answer(status, json.dumps({"Message": error, **members}).encode(), headers)

    def answer(self, status, body, headers):
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
print(server.server_address[1], flush=True)
server.serve_forever()
