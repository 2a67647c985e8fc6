"""Asks a schema registry with Confluent's Python client, and prints what it returns: RegistryClient.java prints the same."""
import sys

from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

url, subject = sys.argv[1:3]
client = SchemaRegistryClient({"url": url})


def report(name, value):
    print(f"{name}: {value}")


def refused(name, ask):
    try:
        report(name, f"no refusal but {ask()}")
    except SchemaRegistryError as error:
        report(name, f"{error.http_status_code} {error.error_code}")


versions = client.get_versions(subject)
latest = client.get_latest_version(subject)
first = client.get_version(subject, versions[0])
other = Schema('{"type": "record", "name": "Other", "fields": []}', "AVRO")

report("subjects", subject in client.get_subjects())
report("versions", versions)
report("latest", f"{latest.version} {latest.schema_id}")
report("schema by id", client.get_schema(latest.schema_id).schema_str == latest.schema.schema_str)
report("looked up", f"{client.lookup_schema(subject, first.schema).version} {client.lookup_schema(subject, first.schema).schema_id}")
report("registered", client.register_schema(subject, latest.schema))
report("subjects of the id", client.get_subjects_by_schema_id(latest.schema_id))
report("versions of the id", [f"{use.subject} {use.version}" for use in client.get_schema_versions(latest.schema_id)])
report("compatibility", client.get_compatibility(subject))
report("mode", client.get_mode(subject))
refused("unknown subject", lambda: client.get_versions("none"))
refused("unknown version", lambda: client.get_version(subject, 99))
refused("unknown id", lambda: client.get_schema(999_999))
refused("unknown schema", lambda: client.lookup_schema(subject, other))
refused("another schema", lambda: client.register_schema(subject, other))
refused("another compatibility", lambda: client.set_compatibility(subject, "NONE"))
refused("another mode", lambda: client.update_mode(subject, "READWRITE"))
refused("deletion", lambda: client.delete_subject(subject))
