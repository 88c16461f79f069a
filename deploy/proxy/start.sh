#!/bin/sh
# Runs nginx, and has it take up certificates that were replaced; connections go on, those of devices
# too. In compose, for the stock image “nginx”:
#
#   command: ["sh", "/etc/nginx/start.sh"]
#   stop_signal: SIGTERM                  # the image's own waits until the last device has gone
#   ports: 80, 443 and 8883
#   volumes: this folder's nginx.conf and start.sh in /etc/nginx, ./certs at /certs and ./acme at
#            /acme, all of them read-only
#   read_only, tmpfs /tmp (bodies of requests wait there), cap_drop ALL, cap_add as in nginx.conf
#   healthcheck: curl -fsS -o /dev/null http://127.0.0.1:8080/
#
# Arguments: the configuration, the folder of certificates, how many seconds between two looks at it.
set -eu
config=${1:-/etc/nginx/nginx.conf}
certs=${2:-/certs}
seconds=${3:-30}

# Of a replaced file, and of a link that leads to another one now.
look() {
    cat "$certs/fullchain.pem" "$certs/privkey.pem" | cksum
}

for file in fullchain.pem privkey.pem; do
    if ! test -r "$certs/$file"; then
        echo "There is no $file in certs that I may read. Make one: sh" \
            "deploy/certificates/make.sh NAME; more in docs/https.md." >&2
        exit 1
    fi
done

# While only one of the two files is new they do not fit, and it is tried again; as is what failed.
follow() {
    known=$1
    while sleep "$seconds"; do
        now=$(look) || continue
        test "$now" != "$known" || continue
        nginx -q -t -c "$config" && nginx -s reload -c "$config" || continue
        echo "The certificate was replaced; nginx takes up the new one." >&2
        known=$now
    done
}

follow "$(look)" &
exec nginx -c "$config" -g "daemon off;"
