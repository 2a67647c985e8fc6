"""Prints each frame's final answer as a line of JSON: the first record of the frame in its partition counts."""

import json
import os
import signal

from confluent_kafka import Consumer, KafkaException
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

topic = os.environ.get("TOPIC_PREFIX", "tributary.") + "classifications.v1"
registry = {"url": os.environ.get("REGISTRY", "http://127.0.0.1:8080")}
if token := os.environ.get("TRIBUTARY_TOKEN"):
    registry |= {
        "bearer.auth.credentials.source": "STATIC_TOKEN",
        "bearer.auth.token": token,
        # The client requires them, for Confluent Cloud; the gateway ignores them.
        "bearer.auth.logical.cluster": "tributary",
        "bearer.auth.identity.pool.id": "tributary",
    }
decode = AvroDeserializer(SchemaRegistryClient(registry))  # Decodes with the writer's schema, by its id.
consumer = Consumer({
    "bootstrap.servers": os.environ.get("BROKERS", "127.0.0.1:9092"),
    "group.id": os.environ.get("GROUP", "answers-python"),
    "auto.offset.reset": "earliest",
    "enable.auto.commit": False,
})
consumer.subscribe([topic])

stopped = False


def stop(*_):
    global stopped
    stopped = True


signal.signal(signal.SIGINT, stop)
signal.signal(signal.SIGTERM, stop)

final = set()  # In your program: a table with the frame as primary key, and an insert that keeps existing rows.
while not stopped:
    message = consumer.poll(0.5)
    if message is None:
        continue
    if message.error():
        raise KafkaException(message.error())
    record = decode(message.value(), SerializationContext(topic, MessageField.VALUE))
    for answer in record["answers"]:
        frame = f"{record['deviceId']}:{record['bootId']}:{answer['cameraId']}:{answer['frameSeq']}"
        if frame in final:
            continue  # A duplicate.
        final.add(frame)
        line = {"frame": frame, "label": answer["label"], "source": answer["source"], "settledBy": answer["settledBy"]}
        print(json.dumps(line), flush=True)
    consumer.commit(message, asynchronous=False)  # Only after the answers are stored.
consumer.close()
