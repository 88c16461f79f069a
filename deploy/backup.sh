#!/usr/bin/env bash
# One backup of the installation that this file lies in, below the directory DIRECTORY; older ones
# than KEEP_DAYS days are deleted once it is complete. docs/backup.md says more.
set -euo pipefail
umask 077
directory=$(realpath -m "${1:?Say where to: deploy/backup.sh DIRECTORY}")
keep_days=${KEEP_DAYS:-14}
cd "$(dirname "$0")/.."

stamp=$(date -u +%Y%m%dT%H%M%SZ)
unfinished=$directory/$stamp.unfinished
trap 'rm -rf "$unfinished"' EXIT
mkdir -p "$unfinished"

# First what may not be allowed: whoever hears of it has waited for nothing.
settings=()
for each in .env secrets certs authority acme ours docker-compose.override.yml; do
    [[ -e $each ]] && settings+=("$each")
done
tar -czf "$unfinished/settings.tar.gz" "${settings[@]}" || {
    echo "Not all settings could be read: run this as root. There is no backup." >&2
    exit 1
}
# Of the sources what people change, for whoever misses a change of theirs.
tar -czf "$unfinished/deploy.tar.gz" deploy docker-compose*.yml
# Mosquitto knows devices' tokens, of which the database has only the digests. Whether it runs now is
# not asked: they are what cannot be made again.
services=$(docker compose config --services)
if grep -qx mosquitto <<< "$services"; then
    docker compose run --rm -T --no-deps mosquitto-accounts \
        cat /var/lib/mosquitto/dynamic-security.json > "$unfinished/dynamic-security.json" || {
        echo "Mosquitto's accounts could not be read. There is no backup." >&2
        exit 1
    }
fi

docker compose exec -T postgres pg_dump -U iotplatform -Fc iotplatform > "$unfinished/database.dump"
# All of it can be read again: one that was cut off cannot.
docker compose exec -T postgres pg_restore -f /dev/null < "$unfinished/database.dump"
(cd "$unfinished" && sha256sum -- * > SHA256SUMS.part && mv SHA256SUMS.part SHA256SUMS)

sync -f "$unfinished"
mv -T "$unfinished" "$directory/$stamp"
find "$directory" -mindepth 1 -maxdepth 1 -type d \
    \( -name '20*Z' -mtime "+$keep_days" -o -name '20*Z.unfinished' -mtime +0 \) -exec rm -rf {} +
echo "$directory/$stamp"
