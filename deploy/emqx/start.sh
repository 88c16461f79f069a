#!/bin/sh
# Starts EMQX with its secrets, and not at all while one of them is missing or short. Each comes from
# the variable NAME or from the file that NAME_FILE names; said here, they are in no description of
# the container.
#
#   HOOK_SECRET   what EMQX shows when it asks the platform who somebody is
#   API_KEY       the name of the platform's account at EMQX's API, and
#   API_SECRET    its secret, which is also the password of “admin” at the dashboard
#   COOKIE        what nodes of a cluster, and “emqx ctl”, know each other by
set -eu
umask 077

# The value of $1, which is $2 in .env and has at least $3 characters.
value_of() {
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    test -z "$file" || value=$(cat "$file")
    case $value in
    *[!A-Za-z0-9_-]*)
        echo "$2 in .env may have letters, digits, - and _ only." >&2
        exit 1
        ;;
    esac
    if test "${#value}" -lt "$3"; then
        echo "Fill in $2 in .env, with at least $3 characters: sh deploy/secrets.sh does so." >&2
        exit 1
    fi
    printf %s "$value"
}

hook_secret=$(value_of HOOK_SECRET MQTT__HOOK_SECRET 32)
api_key=$(value_of API_KEY EMQX__API_KEY 1)
api_secret=$(value_of API_SECRET EMQX__API_SECRET 32)
cookie=$(value_of COOKIE EMQX__COOKIE 32)
unset HOOK_SECRET API_KEY API_SECRET COOKIE

# In memory: /tmp of the container is.
export EMQX_API_KEY__BOOTSTRAP_FILE="${EMQX_API_KEY__BOOTSTRAP_FILE:-/tmp/api_key}"
echo "$api_key:$api_secret" > "$EMQX_API_KEY__BOOTSTRAP_FILE"
export EMQX_DASHBOARD__DEFAULT_PASSWORD="\"$api_secret\""
# The one that it comes with is known to everybody. With a letter in front: Erlang would take what
# begins with - for an option, and EMQX what begins with a digit for a number.
export EMQX_NODE__COOKIE="c$cookie"

# Who may connect, and to what. As a list, so that it takes the place of whatever was set up in EMQX
# itself. Web answers each question before it takes the next one of the same connection. Of the
# headers EMQX keeps none but “authorization” out of its log.
EMQX_AUTHENTICATION='[{mechanism = password_based, backend = http, method = post,
url = "http://web:8000/internal/mqtt/auth",
headers = {"content-type" = "application/json", "authorization" = "Bearer '$hook_secret'"},
body = {username = "${username}", password = "${password}", clientid = "${clientid}"},
pool_size = 16, enable_pipelining = 1, connect_timeout = "5s", request_timeout = "10s"}]'
export EMQX_AUTHENTICATION

exec /opt/emqx/bin/emqx foreground
