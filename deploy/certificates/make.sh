#!/bin/sh
# An authority of your own, and a certificate of it for this server; more in docs/https.md.
#
#   sh deploy/certificates/make.sh iot.example.com 192.0.2.7   for these names and addresses
#   sh deploy/certificates/make.sh                             for the same again, where it is due
#   sh deploy/certificates/make.sh --renew                     for the same again, now
#
# Needs openssl. In certs (or $CERTS): fullchain.pem and privkey.pem for the server, ca.pem for
# devices and browsers. In authority (or $AUTHORITY): the key of the authority. Who has that can
# pretend to be your server: keep it elsewhere if you can. Only a new certificate needs it.
set -eu
umask 077

CERTS=${CERTS:-certs}
AUTHORITY=${AUTHORITY:-authority}
# As they were asked for, for the next time.
NAMES=$CERTS/names
AUTHORITY_DAYS=3650
# Browsers take no certificate that is good for longer; a renewal is due 60 days before.
DAYS=397
DUE=$((60 * 86400))
FOR_A_NEW_ONE="For a new one, whose ca.pem all devices need, move $AUTHORITY and the files in $CERTS away."

fail() {
    echo "$*" >&2
    exit 1
}

# What openssl says is only of interest where it fails.
quietly() {
    said=$("$@" 2>&1) || fail "$said"
}

serial() {
    echo "0x01$(openssl rand -hex 15)"
}

# For x509 and req alike, whatever the openssl.cnf of the system has.
write_authority_config() {
    cat > "$1" <<END
[req]
prompt = no
distinguished_name = name
x509_extensions = authority
[name]
O = IoT platform
CN = IoT platform, authority $(openssl rand -hex 4)
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
END
}

write_server_config() {
    cat > "$1" <<END
[req]
prompt = no
distinguished_name = name
[name]
CN = IoT platform
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $alternatives
END
}

# “DNS:a, IP:b” out of names and addresses. A dot at the end, or large letters, match nothing.
alternatives_of() {
    out=
    for name in "$@"; do
        name=$(printf %s "${name%.}" | tr '[:upper:]' '[:lower:]')
        case $name in
            *[!A-Za-z0-9.:*-]* | "" | -* | *:*.* ) fail "“$name” is no name and no address." ;;
            *:*) kind=IP ;;
            *[!0-9.]*) kind=DNS ;;
            *) kind=IP ;;
        esac
        out="$out${out:+, }$kind:$name"
    done
    echo "$out"
}

# Whether the certificate is ours, whatever its names and its time: no two authorities have one name.
is_ours() {
    authority=$AUTHORITY/ca.pem
    test -e "$authority" || authority=$CERTS/ca.pem
    test -e "$authority" || return
    test "$(openssl x509 -in "$CERTS/fullchain.pem" -noout -issuer | cut -d= -f2-)" = \
        "$(openssl x509 -in "$authority" -noout -subject | cut -d= -f2-)"
}

make_authority() {
    if test -e "$AUTHORITY/ca.pem" && test -e "$AUTHORITY/ca-key.pem"; then
        openssl x509 -in "$AUTHORITY/ca.pem" -noout -checkend $((DAYS * 86400)) > /dev/null ||
            echo "The authority ends soon: $(ends "$AUTHORITY/ca.pem"). $FOR_A_NEW_ONE" >&2
        return
    fi
    for each in "$AUTHORITY/ca.pem" "$AUTHORITY/ca-key.pem" "$CERTS/ca.pem"; do
        test ! -e "$each" || fail "A new certificate is due, and takes the authority: bring ca.pem and" \
            "ca-key.pem back to $AUTHORITY from where you keep them, or say AUTHORITY=/where/they/are" \
            "sh $0. $FOR_A_NEW_ONE"
    done
    mkdir -p "$AUTHORITY" || fail "Make the folder $AUTHORITY yours first."
    write_authority_config "$work/authority.cnf"
    quietly openssl ecparam -name prime256v1 -genkey -noout -out "$work/ca-key.pem"
    quietly openssl req -x509 -new -sha256 -key "$work/ca-key.pem" -out "$work/ca.pem" \
        -days "$AUTHORITY_DAYS" -set_serial "$(serial)" -config "$work/authority.cnf"
    mv "$work/ca-key.pem" "$AUTHORITY/ca-key.pem"
    mv "$work/ca.pem" "$AUTHORITY/ca.pem"
    echo "A new authority is in $AUTHORITY."
}

make_certificate() {
    write_server_config "$work/server.cnf"
    quietly openssl ecparam -name prime256v1 -genkey -noout -out "$work/privkey.pem"
    quietly openssl req -new -sha256 -key "$work/privkey.pem" -out "$work/request.pem" \
        -config "$work/server.cnf"
    quietly openssl x509 -req -sha256 -in "$work/request.pem" -out "$work/fullchain.pem" \
        -CA "$AUTHORITY/ca.pem" -CAkey "$AUTHORITY/ca-key.pem" -days "$DAYS" \
        -set_serial "$(serial)" -extfile "$work/server.cnf" -extensions server
    cp "$AUTHORITY/ca.pem" "$work/ca-for-devices.pem"
    chmod 644 "$work/fullchain.pem" "$work/ca-for-devices.pem"
    mv "$work/ca-for-devices.pem" "$CERTS/ca.pem"
    mv "$work/privkey.pem" "$CERTS/privkey.pem"
    mv "$work/fullchain.pem" "$CERTS/fullchain.pem"
    echo "$alternatives" > "$NAMES"
    chmod 644 "$NAMES"
}

ends() {
    openssl x509 -in "$1" -noout -enddate | cut -d= -f2
}

# Whether the certificate is of the devices' authority, for these names, with its key, and not due.
is_good() {
    test -e "$CERTS/fullchain.pem" && test -e "$CERTS/privkey.pem" && test -e "$CERTS/ca.pem" &&
        test "$(cat "$NAMES" 2> /dev/null)" = "$alternatives" &&
        openssl verify -CAfile "$CERTS/ca.pem" "$CERTS/fullchain.pem" > /dev/null 2>&1 &&
        test "$(openssl x509 -in "$CERTS/fullchain.pem" -noout -pubkey)" = \
            "$(openssl pkey -in "$CERTS/privkey.pem" -pubout 2> /dev/null)" &&
        openssl x509 -in "$CERTS/fullchain.pem" -noout -checkend "$DUE" > /dev/null
}

command -v openssl > /dev/null || fail "openssl is missing. On Debian and Ubuntu: apt-get install openssl."
renew=
if test "${1:-}" = --renew; then
    renew=1
    shift
fi
if test $# -gt 0; then
    alternatives=$(alternatives_of "$@")
else
    alternatives=$(cat "$NAMES" 2> /dev/null) ||
        fail "For which names? sh $0 iot.example.com 192.0.2.7"
fi
test ! -e "$CERTS/fullchain.pem" || is_ours ||
    fail "$CERTS/fullchain.pem is of another authority than $AUTHORITY, of Let's Encrypt perhaps." \
        "Move it away first, if you want one of your own in its place."

mkdir -p "$CERTS" || fail "Make the folder $CERTS yours first."
chmod 755 "$CERTS"
# Beside the files that it replaces: there, mv is a single step.
work=$(mktemp -d "$CERTS/.new.XXXXXX") || fail "$CERTS is not yours: sudo chown -R $(id -un) $CERTS"
trap 'rm -rf "$work"' EXIT

if test -z "$renew" && is_good; then
    echo "The certificate is good: nothing was changed."
else
    make_authority
    make_certificate
    echo "A new certificate is in $CERTS; the proxy takes it up within half a minute."
fi
cat <<END
For:          $alternatives
Ends:         $(ends "$CERTS/fullchain.pem"); make it anew in the last 60 days: sh $0
For devices:  $CERTS/ca.pem, the authority; it ends $(ends "$CERTS/ca.pem")
END
