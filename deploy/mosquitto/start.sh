#!/bin/sh
# Runs Mosquitto with mosquitto.conf from beside this file, and what is different in the stock image
# “eclipse-mosquitto” of 2.0: the place of the plugin, that others reach it over their network, and that
# no more messages wait than its memory holds (QUEUE). In compose:
#
#   user: "1883:1883"
#   entrypoint: ["sh", "/mosquitto/config/start.sh"]
#   volumes: mosquitto.conf and this file in /mosquitto/config, read-only, and at /var/lib/mosquitto a
#            volume of its own, which belongs to 1883
#   read_only, tmpfs /tmp, cap_drop ALL, no ports
#   healthcheck: nc -z 127.0.0.1 1883
#
# Before it, once it may connect to the database, a service with the platform's image, as root and
# with the same volume. It makes the accounts where Mosquitto does not run; where it does, the
# dispatcher tells it of changes. 2 means that devices need new tokens.
#
#   set -- /var/lib/mosquitto/dynamic-security.json
#   chown 1883:1883 /var/lib/mosquitto
#   python manage.py sync_broker --file "$1" || test $? -eq 2 || test -e "$1"
set -eu
config=${CONFIG:-$(dirname "$0")/mosquitto.conf}
plugin=${PLUGIN:-/usr/lib/mosquitto_dynamic_security.so}
listener=${LISTENER:-1883}
queue=${QUEUE:-400000}
data=${DATA:-/var/lib/mosquitto}

if ! test -r "$data/dynamic-security.json"; then
    echo "There is no $data/dynamic-security.json that I may read: nobody would be let in. It is" \
        "made by “manage.py sync_broker --file”; see docs/mosquitto.md." >&2
    exit 1
fi

own=$(mktemp)
sed -e "s|^plugin .*|plugin $plugin|" -e "s|^listener 1883 .*|listener $listener|" \
    -e "s|^max_queued_messages .*|max_queued_messages $queue|" \
    -e "s|^max_queued_bytes .*|max_queued_bytes $((queue * 1024))|" \
    -e "s|/var/lib/mosquitto|$data|" "$config" > "$own"
exec mosquitto -c "$own"
