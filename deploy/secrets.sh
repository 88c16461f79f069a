#!/bin/sh
# Fills in the secrets of .env, each 256 random bits, and makes .env from .env.example if there is
# none. What has a value keeps it; settings that a newer version brought are added. Run it as often
# as you like.
#
#   sh deploy/secrets.sh iot.example.com   and the name under which people and devices come
#   sh deploy/secrets.sh                   only what is missing
#   sh deploy/secrets.sh --files           and move them into ./secrets, for docker-compose.secrets.yml
set -eu
umask 077
cd "$(dirname "$0")/.."

SECRETS="SECRET_KEY JWT_SECRET POSTGRES_PASSWORD MQTT__INGEST_PASSWORD MQTT__DISPATCH_PASSWORD
MQTT__HOOK_SECRET EMQX__API_SECRET EMQX__COOKIE METRICS_TOKEN"

name=
files=
for word in "$@"; do
    case $word in
    --files) files=1 ;;
    -* | *[!A-Za-z0-9.-]*)
        echo "“$word” is no name of a server. Usage: sh deploy/secrets.sh [NAME] [--files]" >&2
        exit 2
        ;;
    *) name=$word ;;
    esac
done

# What $1 has in .env (or in the file $2), without quotes around it.
get() {
    sed -n "s/^$1=//p" "${2:-$new}" | tail -n 1 | sed "s/^\(['\"]\)\(.*\)\1\$/\2/"
}

# Puts $2 in place of what $1 has. Neither is anything but letters, digits and a few signs.
put() {
    sed "s|^$1=.*|$1=$2|" "$new" > "$new.put"
    mv "$new.put" "$new"
}

# Puts $2 into $1, unless somebody has said something else there.
point() {
    has=$(get "$1")
    case ,$has, in
    *",$2,"*) ;;
    ",$(get "$1" .env.example),")
        put "$1" "$2"
        echo "set: $1=$2"
        ;;
    *) echo "$1=$has in .env stays as it is: $2 is not in it." >&2 ;;
    esac
}

random() {
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n'
}

# Docker understands more than this does: a secret that is not seen here would be made once more.
if test -e .env && strange=$(grep -nvE '^([A-Za-z_][A-Za-z0-9_]*=.*|[[:blank:]]*(#.*)?)$' .env ||
    grep -n "$(printf '\r')" .env); then
    echo "Lines of .env have to be NAME=value, without “export”, blanks before “=” and Windows' line" \
        "ends (sed -i 's/\\r\$//' .env takes those away), or to begin with #. These are not:" >&2
    # Without what may be a secret.
    echo "$strange" | sed -nE 's/^([0-9]+):([A-Za-z0-9_ ]*)=.*/line \1: \2/p; t; s/:.*//; s/^/line /p' >&2
    exit 1
fi

# Under another name until it is complete: what is cut off has not happened.
new=.env.new
trap 'rm -f "$new" "$new.put"' EXIT
if test -e .env; then
    cat .env > "$new"
    test -z "$(tail -c 1 "$new")" || echo >> "$new"
    known=$(sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/\1/p' "$new")
    sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*=.*\)/\1/p' .env.example | while read -r line; do
        if ! echo "$known" | grep -qx "${line%%=*}"; then
            echo "$line" >> "$new"
            echo "added: $line"
        fi
    done
else
    cp .env.example "$new"
fi

if test -n "$name"; then
    point ALLOWED_HOSTS "$name"
    point CSRF_TRUSTED_ORIGINS "https://$name"
    point PUBLIC_URL "https://$name"
fi

for secret in $SECRETS; do
    file=secrets/$(echo "$secret" | tr '[:upper:]' '[:lower:]')
    if test -z "$(get "$secret")" && ! test -s "$file"; then
        put "$secret" "$(random)"
        echo "made: $secret"
    fi
    if test -n "$files" && test -n "$(get "$secret")"; then
        mkdir -p secrets
        rm -f "$file"
        get "$secret" | tr -d '\n' > "$file"
        put "$secret" ""
        echo "moved: $secret is in $file"
    fi
done

if test -n "$files"; then
    rm -f secrets/database_url
    printf 'postgresql://iotplatform:%s@postgres:5432/iotplatform' \
        "$(cat secrets/postgres_password)" > secrets/database_url
    # For the accounts in the containers to read. Nobody else comes past the folder.
    chmod 444 secrets/*
    chmod 700 secrets
fi

access=$(get MQTT__ACCESS)
profiles=$(get COMPOSE_PROFILES | tr -d ' ')
mv "$new" .env
# Accounts in the containers read what is mounted, whatever the umask was at the checkout.
chmod -R go+rX deploy
mkdir -p -m 755 acme certs

# With another the platform would start, and no device get in.
case $access:,$profiles, in
emqx:*,emqx,* | mosquitto:*,mosquitto,*) ;;
*)
    echo "MQTT__ACCESS is “$access” in .env and COMPOSE_PROFILES “$profiles”: both have to name the" \
        "same broker, emqx or mosquitto. Change that before you start anything." >&2
    exit 1
    ;;
esac
