#!/bin/sh
# Keys and headers of the final answers; `sh kcat.sh -e` exits at the end of the topic. Debian's kcat cannot decode Avro values.
exec kcat -b "${BROKERS:-127.0.0.1:9092}" -C -q -t "${TOPIC_PREFIX:-tributary.}classifications.v1" -o beginning -f '%p:%o %k %S bytes %h\n' "$@"
