#!/usr/bin/env python3
"""A camera that is not ours: sends photos to Tributary as JSON and prints what each of them shows.

    pip install -r requirements.txt
    TRIBUTARY_PASSWORD=... python3 send_photos.py --device cam-9 photo.jpg [photo.jpg ...]

Exit code 0: every photo is answered. 1: an answer did not arrive in time. 2: the bridge refused the connection.
"""
import argparse
import base64
import hashlib
import json
import os
import sys
import threading
import time

import paho.mqtt.client as mqtt


def arguments():
    parser = argparse.ArgumentParser(description="Sends photos to Tributary and prints what they show.")
    parser.add_argument("photos", nargs="+", metavar="PHOTO.jpg")
    parser.add_argument("--device", required=True, help="the name it is registered under")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=1883)
    parser.add_argument("--prefix", default="tributary", help="first level of the contract's topics")
    parser.add_argument("--wait", type=float, default=30, help="seconds for all answers")
    return parser.parse_args()


def main():
    options = arguments()
    mine = f"{options.prefix}/v1/{options.device}"
    ready, answered = threading.Event(), threading.Event()
    waiting, refused = {}, []

    def connected(client, _data, _flags, reason, _properties):
        if reason.is_failure:
            refused.append(f"the bridge refuses {options.device}: {reason}")
            ready.set()
        else:
            # After every reconnection: the bridge keeps no sessions.
            client.subscribe(f"{mine}/down/results/json", qos=1)

    def subscribed(_client, _data, _mid, reasons, _properties):
        if reasons[0].is_failure:
            refused.append(f"{options.device} may not read its answers: {reasons[0]}")
        ready.set()

    def received(_client, _data, message):
        answer = json.loads(message.payload)
        photo = waiting.pop(answer["frameSeq"], None)
        if photo is None:
            return
        result = f"{answer['label']} ({answer['source']}, {answer['confidence']:.2f})"
        print(f"{photo}: {result} {answer['frameId']}", flush=True)
        if not waiting:
            answered.set()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=options.device)
    client.username_pw_set(options.device, os.environ.get("TRIBUTARY_PASSWORD", ""))
    client.will_set(f"{mine}/availability", "offline", qos=1, retain=True)
    client.on_connect, client.on_subscribe, client.on_message = connected, subscribed, received
    client.connect(options.host, options.port)
    client.loop_start()
    ready.wait(options.wait)
    if refused or not client.is_connected():
        sys.exit(fail(2, refused[0] if refused else "no connection"))

    payloads = []
    now = time.time_ns() // 1_000_000
    for i, photo in enumerate(options.photos):
        with open(photo, "rb") as file:
            image = base64.b64encode(file.read()).decode()
        # Sent again, a photo is another frame, because its time of capture differs: the same bytes would be the same frame, whose
        # answer is not sent twice.
        payload = json.dumps({"image": image, "capturedAt": now + i}).encode()
        # A frame without bootId is identified by the first 63 bits of its payload's SHA-256.
        waiting[str(int.from_bytes(hashlib.sha256(payload).digest()[:8], "big") >> 1)] = photo
        payloads.append(payload)
    for payload in payloads:
        # QoS 1: paho keeps it and sends it again until the bridge has stored it in Kafka.
        client.publish(f"{mine}/up/frames/json", payload, qos=1)
    done = answered.wait(options.wait)
    client.disconnect()
    client.loop_stop()
    sys.exit(0 if done else fail(1, f"no answer in time: {', '.join(waiting.values())}"))


def fail(code, reason):
    print(reason, file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
