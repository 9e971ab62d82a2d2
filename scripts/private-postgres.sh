#!/bin/sh
# A private Postgres in the foreground: private-postgres.sh FOLDER SOCKETS
#
# FOLDER holds the cluster, made at the first start, with a database and superuser `cyan`. It listens on a unix socket
# in SOCKETS and nowhere else: connect with `host=SOCKETS user=cyan dbname=cyan`. SIGINT stops it fast. Postgres
# refuses to be root: then it runs as `postgres` or `nobody`, who must be able to enter both folders.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: private-postgres.sh FOLDER SOCKETS" >&2
    exit 2
fi
mkdir -p "$1" "$2"
folder=$(cd "$1" && pwd)
sockets=$(cd "$2" && pwd)
cluster=$folder/cluster
cd / # the caller's folder may be closed to the user Postgres runs as

if [ ${#sockets} -gt 90 ]; then
    echo "private-postgres: $sockets is too long for a unix socket" >&2
    exit 1
fi
if [ -f "$cluster/PG_VERSION" ]; then
    bin=/usr/lib/postgresql/$(cat "$cluster/PG_VERSION")/bin
else
    bin=$(find /usr/lib/postgresql -mindepth 3 -maxdepth 3 -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)
    bin=${bin%/initdb}
fi
if [ ! -x "$bin/postgres" ]; then
    echo "private-postgres: no Postgres in ${bin:-/usr/lib/postgresql} (the cluster in $folder needs that version)" >&2
    exit 1
fi

as=
if [ "$(id -u)" = 0 ]; then
    user=postgres
    id "$user" >/dev/null 2>&1 || user=nobody
    as="setpriv --reuid=$user --regid=$(id -g "$user") --clear-groups"
    chown "$user" "$folder" "$sockets"
fi
chmod 700 "$folder" "$sockets"
if ! $as test -w "$folder" || ! $as test -w "$sockets"; then
    echo "private-postgres: user $user cannot enter $folder or $sockets" >&2
    exit 1
fi

if [ ! -f "$cluster/PG_VERSION" ]; then
    $as rm -rf "$folder/new"
    $as "$bin/initdb" -D "$folder/new" -U cyan --auth=trust --encoding=UTF8 --locale=C.UTF-8 --no-instructions >/dev/null
    echo "CREATE DATABASE cyan" | $as "$bin/postgres" --single -D "$folder/new" postgres >/dev/null
    $as mv "$folder/new" "$cluster" # complete, or not there at all
fi

# shellcheck disable=SC2086 # options
# pdeathsig: when the one who started this is gone, even by SIGKILL, so is Postgres.
exec setpriv --pdeathsig=INT ${as#setpriv} "$bin/postgres" -D "$cluster" -c listen_addresses= \
    -c unix_socket_directories="$sockets" -c unix_socket_permissions=0700 -c logging_collector=off
