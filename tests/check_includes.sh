#!/bin/sh
# Includes point one way: each `#include "room/..."` in server/ must name the file's own room or a lower one.
set -eu
cd "$(dirname "$0")/.."
find server -name '*.[ch]' | sort | xargs awk '
    BEGIN {
        count = split("api campaign hook fleet device coap handshake store net plan module base", rooms, " ")
        for (i = 1; i <= count; i++) place[rooms[i]] = i
    }
    /^[ \t]*#[ \t]*include[ \t]+"/ {
        split(FILENAME, path, "/")
        from = path[3] != "" ? path[2] : "main"
        split($0, quoted, "\"")
        slash = index(quoted[2], "/")
        to = slash > 0 ? substr(quoted[2], 1, slash - 1) : from
        if (from == "main" || from == to) next
        if (!(from in place)) reason = "server/" from " is not a room"
        else if (!(to in place)) reason = to " is not a room"
        else if (place[to] < place[from]) reason = to " is above " from
        else next
        printf "%s:%d: %s\n", FILENAME, FNR, reason
        bad = 1
    }
    END { exit bad }'
