#!/bin/sh
# A private Redis in the foreground: private-redis.sh FOLDER SOCKET
#
# FOLDER holds its data, written behind every change and flushed to disk each second, so that it is there again after a
# restart. It listens on the unix socket SOCKET and nowhere else: connect with `redis-cli -s SOCKET`. SIGTERM stops it.
set -eu

if [ $# -ne 2 ]; then
    echo "usage: private-redis.sh FOLDER SOCKET" >&2
    exit 2
fi
umask 077
mkdir -p "$1" "$(dirname "$2")"
folder=$(cd "$1" && pwd)
socket=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
chmod 700 "$folder"

if [ ${#socket} -gt 107 ]; then # what fits into a socket's address
    echo "private-redis: $socket is too long for a unix socket" >&2
    exit 1
fi
if ! command -v redis-server >/dev/null; then
    echo "private-redis: no redis-server here; Debian's package is redis-server" >&2
    exit 1
fi

# A user's or system's configuration is not read. Without eviction: a full memory is an error, never a lost session.
# pdeathsig: when the one who started this is gone, even by SIGKILL, so is Redis.
exec setpriv --pdeathsig=TERM redis-server --port 0 --unixsocket "$socket" --unixsocketperm 700 --dir "$folder" \
    --daemonize no --appendonly yes --appendfsync everysec --save "" --maxmemory-policy noeviction
