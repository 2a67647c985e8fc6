#!/usr/bin/env python3
"""A device of another make that speaks Avro: it reports its model, decides by its policy, accounts for every frame, and
prints the final answer of each that it sent. Written from docs/mqtt-contract.md and the schemas alone.

    pip install -r requirements.txt
    TRIBUTARY_PASSWORD=... python3 avro_device.py --device cam-9 --model DIGEST photo.jpg [photo.jpg ...]

Without --model, or without a policy for it, it has no answer of its own and asks the cloud about every photo (FALLBACK).
Exit code 0: every sent frame is answered. 1: an answer did not arrive in time. 2: the bridge refused the connection.
"""
import argparse
import hashlib
import hmac
import io
import json
import math
import os
import secrets
import sys
import threading
import time
from pathlib import Path

import paho.mqtt.client as mqtt
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form


class Record:
    """One record type in Avro's single-object encoding."""

    MARKER = b"\xc3\x01"

    def __init__(self, file):
        schema = json.loads(file.read_text())
        self.schema = parse_schema(schema)
        # fastavro writes the bytes as they travel, least significant first; the contract's page and acceptedSchemas the other way.
        self.fingerprint = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))

    @property
    def name(self):
        return self.fingerprint[::-1].hex()

    def encode(self, value):
        out = io.BytesIO(self.MARKER + self.fingerprint)
        out.seek(0, io.SEEK_END)
        schemaless_writer(out, self.schema, value)
        return out.getvalue()

    def decode(self, payload):
        if payload[:10] != self.MARKER + self.fingerprint:
            raise ValueError(f"not a record of {self.name}: {payload[:10].hex()}")
        return schemaless_reader(io.BytesIO(payload[10:]), self.schema)


class Bucket:
    """Step 5 of the policy: what may be sent, as a share of the frames."""

    def __init__(self, policy):
        self.policy, self.interval, self.intervals, self.last = policy, 100.0, 0, None
        self.tokens = policy["escalationShareMax"] * policy["burstMs"] / self.interval

    @property
    def depth(self):
        return max(1.0, self.policy["escalationShareMax"] * self.policy["burstMs"] / self.interval)

    def earn(self, now):
        if self.last is not None and now - self.last <= 5_000:
            self.intervals = min(32, self.intervals + 1)
            self.interval = max(1.0, self.interval + (now - self.last - self.interval) / (self.intervals + 1))
        self.last = now
        self.tokens = min(self.depth, self.tokens + self.policy["escalationShareMax"])

    def take(self, is_priority):
        floor = 0 if is_priority else self.policy["priorityReserve"] * self.depth
        if self.tokens - 1 < floor:
            return False
        self.tokens -= 1
        return True


NO_ANSWER = {
    "label": "",
    "confidence": 0.0,
    "margin": 0.0,
    "entropy": 0.0,
    "score": 1.0,
    "reason": "FALLBACK",
    "deadlineMs": 10_000,
    "sampleCorrectness": 0.0,
    "samplePropensity": 0.0,
    "sampleDrawn": False,
}


def decide(policy, bucket, logits, frame_id, sample_key, now):
    """What the policy makes of a frame: the fields of a prediction, its escalation among them."""
    labels = policy["labels"]
    top = max(logits)
    powers = [math.exp((logit - top) / policy["temperature"]) for logit in logits]
    p = [power / sum(powers) for power in powers]
    best = p.index(max(p))
    second = max(p[:best] + p[best + 1 :])
    features = {
        "confidence": p[best],
        "margin": p[best] - second,
        "entropy": max(0.0, -sum(one * math.log(one) for one in p if one > 0)),
        "logitMargin": min(12.0, math.log(p[best] / second)) if second > 0 else 12.0,
    }

    def probability(model):
        x = sum(weight * features[name] for weight, name in zip(model["weights"], policy["features"]))
        return 1 / (1 + math.exp(-(model["bias"] + x + model["labelBias"][best])))

    right = probability(policy["edgeRight"])
    score = probability(policy["cloudRight"]) - right
    mean = policy["sampleUncertaintyMean"]
    wanted = policy["sampleBudget"] * (math.sqrt(right * (1 - right)) / mean if mean > 0 else 1)
    propensity = max(policy["samplePropensityMin"], min(1.0, wanted))
    if sample_key is None:
        propensity = 0.0  # it draws no frames
    draw = hmac.new(sample_key or b"", frame_id.encode(), hashlib.sha256).digest()
    drawn = int.from_bytes(draw[:6], "big") / 2**48 < propensity
    is_priority = any(
        rule["label"] == labels[best] and p[best] >= rule["confidenceMin"] for rule in policy["priorityLabels"]
    )
    if is_priority:
        reason = "PRIORITY"
    elif score > policy["scoreMin"]:
        reason = "AMBIGUOUS"
    else:
        reason = "SAMPLE" if drawn else "NONE"
    bucket.earn(now)
    would_send = not drawn and reason not in ("NONE", "SAMPLE") and bucket.take(is_priority)
    sent = drawn or would_send
    escalation = "NONE" if reason == "NONE" else "QUEUED" if sent else "DROPPED"
    return {
        "label": labels[best],
        "confidence": p[best],
        "margin": features["margin"],
        "entropy": features["entropy"],
        "score": score,
        "reason": reason,
        "deadlineMs": policy["deadlineMs"],
        "sampleCorrectness": right,
        "samplePropensity": propensity,
        "sampleDrawn": drawn,
        "escalation": escalation,
        "dropReason": "BUDGET" if escalation == "DROPPED" else "NONE",
        "wouldSend": None if drawn else would_send,
    }


def logits_of(_photo, labels):
    """Put your model here. Without one, every class is as likely as any other."""
    return [0.0] * len(labels)


def next_boot(state):
    """24 bits of a count that is kept, 39 bits of chance: no two starts have the same."""
    count = (int(state.read_text()) if state.exists() else 0) + 1
    written = state.with_suffix(".new")
    written.write_text(str(count))
    written.replace(state)
    return (count & 0xFFFFFF) << 39 | secrets.randbits(39)


class Device:
    def __init__(self, options):
        self.options = options
        self.mine = f"{options.prefix}/v1/{options.device}"
        files = {"frames": "edge-frame", "predictions": "edge-predictions", "reported": "device-reported"}
        files |= {"policy": "routing-policy", "results": "classifications"}
        self.records = {name: Record(options.schemas / f"{file}.avsc") for name, file in files.items()}
        self.boot = next_boot(options.state)
        self.seq = {"frames": 0, "predictions": 0, "reported": 0}
        self.frames, self.waiting = 0, {}
        self.policy, self.bucket, self.sample_key = None, None, None
        self.refused = None
        self.ready, self.has_policy, self.answered = threading.Event(), threading.Event(), threading.Event()

        # paho keeps unacknowledged messages and sends them again with their old age: enough for outages shorter
        # than a deadline. A device that must not lose a frame keeps its records on disk until they are acknowledged, and
        # encodes them again, with a larger age, for every new connection.
        self.client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=options.device, clean_session=True)
        self.client.username_pw_set(options.device, os.environ.get("TRIBUTARY_PASSWORD", ""))
        self.client.will_set(f"{self.mine}/availability", "offline", qos=1, retain=True)
        self.client.reconnect_delay_set(1, 15)
        self.client.on_connect, self.client.on_subscribe = self.connected, self.subscribed
        self.client.message_callback_add(f"{self.mine}/down/policy", self.on_policy)
        self.client.message_callback_add(f"{self.mine}/down/sampling", self.on_sample_key)
        self.client.message_callback_add(f"{self.mine}/down/results", self.on_results)

    def connected(self, client, _data, _flags, reason, _properties):
        if reason.is_failure:
            self.refused = f"the bridge refuses {self.options.device}: {reason}"
            self.ready.set()
            return
        client.subscribe([(f"{self.mine}/down/{channel}", 1) for channel in ("policy", "sampling", "results")])
        client.publish(f"{self.mine}/availability", "online", qos=1, retain=True)

    def subscribed(self, _client, _data, _mid, reasons, _properties):
        if any(reason.is_failure for reason in reasons):
            self.refused = f"{self.options.device} may not subscribe: {reasons}"
        self.ready.set()

    def on_policy(self, _client, _data, message):
        if message.payload == b"":
            self.policy = None  # it was deleted
            return
        policy = self.records["policy"].decode(message.payload)
        if policy["modelDigest"] != self.options.model:
            return
        self.policy, self.bucket = policy, self.bucket or Bucket(policy)
        self.bucket.policy = policy
        self.has_policy.set()

    def on_sample_key(self, _client, _data, message):
        self.sample_key = message.payload

    def on_results(self, _client, _data, message):
        results = self.records["results"].decode(message.payload)
        for answer in results["answers"]:
            frame = f"{results['deviceId']}:{results['bootId']}:{answer['cameraId']}:{answer['frameSeq']}"
            photo = self.waiting.pop(frame, None)
            if photo is None:
                continue  # a duplicate
            result = f"{answer['label']} ({answer['source']}, {answer['confidence']:.2f}, {answer['settledBy']})"
            print(f"{photo}: {result} {frame}", flush=True)
        if not self.waiting:
            self.answered.set()

    def publish(self, stream, body):
        """Sends a record. Waiting for what it returns is waiting for Kafka."""
        self.seq[stream] += 1
        record = {"deviceId": self.options.device, "bootId": self.boot, "seq": self.seq[stream], **body}
        return self.client.publish(f"{self.mine}/up/{stream}", self.records[stream].encode(record), qos=1)

    def report(self):
        model = {"modelDigest": self.options.model, "modelName": "", "modelVersion": ""}
        return self.publish(
            "reported",
            {
                "agentVersion": "avro_device.py",
                "hardwareClass": "generic",
                "clockState": "UNSYNCHRONIZED",
                "generation": 0,
                "slots": {"perception": model} if self.options.model else {},
                "policyVersion": "",
                # Without DeviceDesired: this device has no updates.
                "acceptedSchemas": [self.records[name].name for name in ("policy", "results")],
                "cameras": ["camera"],
                "update": None,
                "goldenPassed": None,
            },
        )

    def see(self, photo):
        """One frame: its prediction, and the frame itself if it is sent."""
        captured = time.monotonic()
        jpeg = Path(photo).read_bytes()
        self.frames += 1
        frame_id = f"{self.options.device}:{self.boot}:camera:{self.frames}"
        policy = self.policy
        if policy is None:
            decided = {**NO_ANSWER, "escalation": "QUEUED", "dropReason": "NONE", "wouldSend": None}
        else:
            logits = logits_of(photo, policy["labels"])
            decided = decide(policy, self.bucket, logits, frame_id, self.sample_key, captured * 1_000)
        if len(jpeg) > 2_000_000 and decided["escalation"] == "QUEUED":
            decided |= {"escalation": "DROPPED", "dropReason": "FRAME_TOO_LARGE"}
        by = {
            "modelDigest": self.options.model if policy else "",
            "preprocessingDigest": "",
            "arm": "default",
            "policyVersion": policy["policyVersion"] if policy else "",
            "clockState": "UNSYNCHRONIZED",
        }

        def age():
            return (time.monotonic() - captured) * 1_000

        seen = {"cameraId": "camera", "frameSeq": self.frames, "capturedAt": None, **decided}
        prediction = {**seen, "latencyMs": age(), "ageMs": age()}
        sent = [self.publish("predictions", {**by, "predictions": [prediction], "traceparent": None})]
        if decided["escalation"] == "QUEUED":
            self.waiting[frame_id] = photo
            # fastavro skips the prediction's fields that a frame does not have.
            sent.append(self.publish("frames", {**by, **seen, "ageMs": age(), "jpeg": jpeg, "traceparent": None}))
        else:
            result = f"{decided['label']} (EDGE, {decided['confidence']:.2f}, {decided['escalation']})"
            print(f"{photo}: {result} {frame_id}", flush=True)
        return sent

    def run(self):
        options = self.options
        self.client.connect(options.host, options.port)
        self.client.loop_start()
        self.ready.wait(options.wait)
        if self.refused or not self.client.is_connected():
            return fail(2, self.refused or "no connection")
        self.report()
        if options.model and not self.has_policy.wait(options.wait):
            print(f"no policy for {options.model}: every photo is sent", file=sys.stderr)
        sent = [one for photo in options.photos for one in self.see(photo)]
        for one in sent:
            one.wait_for_publish(options.wait)  # Kafka has it
        done = not self.waiting or self.answered.wait(options.wait)
        self.client.publish(f"{self.mine}/availability", "offline", qos=1, retain=True).wait_for_publish(5)
        self.client.disconnect()
        self.client.loop_stop()
        return 0 if done else fail(1, f"no answer in time: {', '.join(self.waiting.values())}")


def fail(code, reason):
    print(reason, file=sys.stderr)
    return code


def arguments():
    parser = argparse.ArgumentParser(description="A device that speaks Avro with Tributary's bridge.")
    parser.add_argument("photos", nargs="+", metavar="PHOTO.jpg")
    parser.add_argument("--device", required=True, help="the name it is registered under")
    parser.add_argument("--model", default="", help="digest of the package whose model it runs")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--prefix", default="tributary", help="first level of the contract's topics")
    parser.add_argument("--schemas", type=Path, default=Path(__file__).resolve().parents[3] / "schemas")
    parser.add_argument("--state", type=Path, help="file that counts its starts (DEVICE.boots)")
    parser.add_argument("--wait", type=float, default=30, help="seconds for a policy, and for all answers")
    options = parser.parse_args()
    options.state = options.state or Path(f"{options.device}.boots")
    return options


if __name__ == "__main__":
    sys.exit(Device(arguments()).run())
