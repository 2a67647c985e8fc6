#!/bin/sh
# A camera without our agent, with Debian's mosquitto-clients: sends one photo to Tributary as JSON.
#
#   TRIBUTARY_DEVICE=cam-9 TRIBUTARY_PASSWORD=... ./send-photo.sh photo.jpg          prints the frame's id
#   TRIBUTARY_DEVICE=cam-9 TRIBUTARY_PASSWORD=... ./send-photo.sh --wait photo.jpg   prints the answer
#
# TRIBUTARY_HOST and TRIBUTARY_PORT name the bridge (default 127.0.0.1 and 1883).
set -eu

wait=
if [ "${1:-}" = --wait ]; then
  wait=yes
  shift
fi
photo=${1:?"usage: send-photo.sh [--wait] PHOTO.jpg"}
device=${TRIBUTARY_DEVICE:?"the name the device is registered under"}
password=${TRIBUTARY_PASSWORD:?"printed once by: tributary devices register $device"}
topic=tributary/v1/$device

payload=$(mktemp)
trap 'rm -f "$payload"' EXIT
printf '{"image":"%s"}' "$(base64 <"$photo" | tr -d '\n')" >"$payload"

# The client id is the device's name, and a device has one connection: one program sends and waits.
set -- -V mqttv311 -h "${TRIBUTARY_HOST:-127.0.0.1}" -p "${TRIBUTARY_PORT:-1883}" \
  -i "$device" -u "$device" -P "$password" -q 1 -t "$topic/up/frames/json"
if [ -n "$wait" ]; then
  # mosquitto_rr 2.0 sends an empty message for a file, and an argument has at most 128 KiB on Linux.
  [ "$(wc -c <"$payload")" -lt 131072 ] || { echo "$photo: too large for --wait (95 kB)" >&2; exit 2; }
  mosquitto_rr "$@" -e "$topic/down/results/json" -W 30 -m "$(cat "$payload")"
else
  mosquitto_pub "$@" -f "$payload" # exits with 0 once the bridge has stored the frame in Kafka
  # A frame without bootId is identified by the first 63 bits of its payload's SHA-256.
  sha=$(sha256sum "$payload")
  high=$(printf %.8s "$sha")
  low=$(printf %.16s "$sha")
  low=${low#"$high"}
  echo "$device:0:camera:$((0x$high << 31 | 0x$low >> 1))"
fi
