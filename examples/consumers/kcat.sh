#!/bin/sh
# Keys and headers of the final answers; `sh kcat.sh -e` ends where the topic does. Debian's kcat has no Avro: values stay closed.
exec kcat -b "${BROKERS:-127.0.0.1:9092}" -C -q -t "${TOPIC_PREFIX:-tributary.}classifications.v1" -o beginning -f '%p:%o %k %S bytes %h\n' "$@"
