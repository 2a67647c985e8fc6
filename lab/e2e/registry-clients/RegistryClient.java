// Asks a schema registry with Confluent's Java client, and prints what it returns: registry_client.py prints the same. The client is
// the one that Flink's jar has in it, under another package: Maven Central has no other.
import java.util.List;
import java.util.concurrent.Callable;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.ParsedSchema;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.avro.AvroSchema;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.SchemaMetadata;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;

public class RegistryClient {
  public static void main(String[] args) throws Exception {
    String subject = args[1];
    CachedSchemaRegistryClient client = new CachedSchemaRegistryClient(args[0], 100);
    List<Integer> versions = client.getAllVersions(subject);
    SchemaMetadata latest = client.getLatestSchemaMetadata(subject);
    ParsedSchema latestSchema = client.getSchemaById(latest.getId());
    ParsedSchema first = new AvroSchema(client.getSchemaMetadata(subject, versions.get(0)).getSchema());
    ParsedSchema other = new AvroSchema("{\"type\": \"record\", \"name\": \"Other\", \"fields\": []}");

    report("subjects", client.getAllSubjects().contains(subject) ? "True" : "False");
    report("versions", versions);
    report("latest", latest.getVersion() + " " + latest.getId());
    report("schema by id", latestSchema.equals(new AvroSchema(latest.getSchema())) ? "True" : "False");
    report("looked up", client.getVersion(subject, first) + " " + client.getId(subject, first));
    report("registered", client.register(subject, latestSchema));
    report("subjects of the id", quoted(client.getAllSubjectsById(latest.getId())));
    report("versions of the id", quoted(client.getAllVersionsById(latest.getId()).stream()
        .map(use -> use.getSubject() + " " + use.getVersion()).toList()));
    report("compatibility", client.getCompatibility(subject));
    report("mode", client.getMode(subject));
    refused("unknown subject", () -> client.getAllVersions("none"));
    refused("unknown version", () -> client.getSchemaMetadata(subject, 99));
    refused("unknown id", () -> client.getSchemaById(999_999));
    refused("unknown schema", () -> client.getId(subject, other));
    refused("another schema", () -> client.register(subject, other));
    refused("another compatibility", () -> client.updateCompatibility(subject, "NONE"));
    refused("another mode", () -> client.setMode("READWRITE", subject));
    refused("deletion", () -> client.deleteSubject(subject));
  }

  private static void report(String name, Object value) {
    System.out.println(name + ": " + value);
  }

  private static List<String> quoted(Iterable<String> values) {
    List<String> quoted = new java.util.ArrayList<>();
    for (String value : values) quoted.add("'" + value + "'");
    return quoted;
  }

  private static void refused(String name, Callable<?> ask) throws Exception {
    try {
      report(name, "no refusal but " + ask.call());
    } catch (RestClientException error) {
      report(name, error.getStatus() + " " + error.getErrorCode());
    }
  }
}
