#!/bin/bash
# Makes the image apache/kafka, from this machine's Java and Kafka's jars: as in Apache's own, Kafka's KafkaDockerWrapper turns
# KAFKA_ variables into settings and formats the storage. Needs root.
#   kafka.sh WORK-FOLDER JARS-FOLDER NAME:TAG BUILDER-IMAGE
set -euo pipefail
work=$1 jars=$2 name=$3 builder=$4
mkdir -p "$work"
work=$(realpath "$work") jars=$(realpath "$jars")
cd "$work"
java=${JAVA_HOME:-$(dirname "$(dirname "$(readlink -f "$(command -v java)")")")}
rm -rf root
mkdir -p root/etc/kafka/docker root/mnt/shared/config root/opt/kafka/{bin,config,libs,logs} root/opt/java root/var/lib/kafka/data
cp -rL "$java/." root/opt/java/ 2> /dev/null || [ -x root/opt/java/bin/java ]
rm -rf root/opt/java/{man,docs,legal,jmods,include,lib/src.zip}
cp "$jars"/*.jar root/opt/kafka/libs/
# The image's defaults: the wrapper replaces them as soon as one KAFKA_ variable is set.
cat > root/etc/kafka/docker/server.properties <<'END'
process.roles=broker,controller
node.id=1
END
cat > root/etc/kafka/docker/log4j2.yaml <<'END'
Configuration:
  Appenders:
    Console:
      name: STDOUT
      PatternLayout:
        Pattern: "[%d] %p %m (%c)%n"
  Loggers:
    Root:
      level: INFO
      AppenderRef:
        - ref: STDOUT
END
cp root/etc/kafka/docker/log4j2.yaml root/etc/kafka/docker/tools-log4j2.yaml
cat > root/etc/kafka/docker/run <<'END'
#!/bin/bash
set -e
: "${CLUSTER_ID:=5L6g3nShT-eMCtK--X86sw}"
java=/opt/java/bin/java
# A folder that is formatted already is no error.
if ! output=$("$java" -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile=/etc/kafka/docker/tools-log4j2.yaml -cp '/opt/kafka/libs/*' \
  kafka.docker.KafkaDockerWrapper setup \
  --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1); then
  grep -qi 'already formatted' <<< "$output" || { echo "$output"; exit 1; }
fi
exec "$java" ${KAFKA_HEAP_OPTS:--Xmx1G -Xms1G} -XX:+UseG1GC -Dlog4j2.configurationFile=/opt/kafka/config/log4j2.yaml -cp '/opt/kafka/libs/*' \
  kafka.Kafka /opt/kafka/config/server.properties
END
cat > root/opt/kafka/bin/kafka-broker-api-versions.sh <<'END'
#!/bin/bash
exec /opt/java/bin/java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dlog4j2.configurationFile=/etc/kafka/docker/tools-log4j2.yaml -cp '/opt/kafka/libs/*' \
  org.apache.kafka.tools.BrokerApiVersionsCommand "$@"
END
chmod 755 root/etc/kafka/docker/run root/opt/kafka/bin/*.sh
cp root/etc/kafka/docker/{server.properties,log4j2.yaml,tools-log4j2.yaml} root/opt/kafka/config/
container=$(buildah from --pull=never "$builder")
buildah add --quiet "$container" root / > /dev/null
mounted=$(buildah mount "$container")
chown -R 1000:1000 "$mounted"/opt/kafka/{config,logs} "$mounted/var/lib/kafka"
buildah umount "$container" > /dev/null
buildah config --user 1000:1000 --cmd /etc/kafka/docker/run --entrypoint '[]' --env PATH=/opt/java/bin:/usr/bin:/bin --port 9092 --workingdir / "$container"
buildah commit --quiet --rm "$container" "$name" > /dev/null
rm -rf root
