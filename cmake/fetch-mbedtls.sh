#!/bin/sh
# Prints the path of a verified mbedTLS release tarball; fetches it into the cache when it is not there yet.
#
#   fetch-mbedtls.sh            cache, the machine's own Debian mirror, the upstream release; the first that serves wins
#   fetch-mbedtls.sh TARBALL    only verifies the given file
#
# Nothing under /etc changes: apt runs with a private state folder and a source entry made from the machine's own
# (its URI and Signed-By), for a newer suite. Every tarball is checked against mbedtls.sha256, best version first.
# Needs sha256sum; apt-get and curl where those sources are to be used.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
allowed=$here/mbedtls.sha256
cache=${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/cyan
release=https://github.com/Mbed-TLS/mbedtls/releases/download

say() {
    echo "fetch-mbedtls: $*" >&2
}

# Prints the version whose checksum the file has; fails when it is none of ours.
version_of() {
    sum=$(sha256sum "$1" | cut -d' ' -f1)
    awk -v sum="$sum" '$1 == sum { print $2; found = 1 } END { exit !found }' "$allowed"
}

# Takes a verified file into the cache under its own name and prints that.
keep() {
    version=$(version_of "$1") || {
        say "$(basename "$1") has a checksum that is not in $(basename "$allowed"): not used"
        return 1
    }
    mv -f "$1" "$cache/mbedtls-$version.tar.bz2"
    echo "$cache/mbedtls-$version.tar.bz2"
}

from_cache() {
    for version in $(awk '{ print $2 }' "$allowed"); do
        file=$cache/mbedtls-$version.tar.bz2
        [ -f "$file" ] || continue
        if [ "$(version_of "$file")" = "$version" ]; then
            echo "$file"
            return 0
        fi
        say "$file is damaged: fetched again"
        rm -f "$file"
    done
    return 1
}

# The machine's own Debian archive entries, as deb822 source entries for another suite ($1).
derive_sources() {
    codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -f "$file" ] || continue
        # One record a stanza; a field runs on over lines that begin with a blank (Signed-By may hold a whole key).
        awk -v codename="$codename" -v suite="$1" '
            function flush_stanza(   n, i, word, ok, main) {
                n = split(field["suites"], word, " ")
                for (i = 1; i <= n; i++) ok = ok || word[i] == codename || word[i] == "stable"
                n = split(field["components"], word, " ")
                for (i = 1; i <= n; i++) main = main || word[i] == "main"
                if (ok && main && tolower(field["enabled"]) !~ /no|false/) {
                    print "Types: deb-src\nURIs: " field["uris"] "\nSuites: " suite "\nComponents: main"
                    if (field["signed-by"] != "") print "Signed-By: " field["signed-by"]
                    print ""
                }
                split("", field)
                name = ""
            }
            /^#/ { next }
            /^[ \t]*$/ { flush_stanza(); next }
            /^[ \t]/ { if (name != "") field[name] = field[name] "\n" $0; next }
            {
                colon = index($0, ":")
                name = tolower(substr($0, 1, colon - 1))
                value = substr($0, colon + 1)
                sub(/^[ \t]+/, "", value)
                field[name] = value
            }
            END { flush_stanza() }' "$file"
    done
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -f "$file" ] || continue
        awk -v codename="$codename" -v suite="$1" '
            $1 == "deb" {
                signed = ""
                at = 2
                if ($2 ~ /^\[/) {
                    for (at = 2; at <= NF; at++) {
                        option = $at
                        gsub(/[\[\]]/, "", option)
                        if (tolower(option) ~ /^signed-by=/) signed = substr(option, index(option, "=") + 1)
                        if ($at ~ /\]$/) break
                    }
                    at++
                }
                main = 0
                for (i = at + 2; i <= NF; i++) main = main || $i == "main"
                if (main && ($(at + 1) == codename || $(at + 1) == "stable")) {
                    print "Types: deb-src\nURIs: " $at "\nSuites: " suite "\nComponents: main"
                    if (signed != "") print "Signed-By: " signed
                    print ""
                }
            }' "$file"
    done
}

from_mirror() {
    suite=$1
    command -v apt-get >/dev/null && [ -r /etc/os-release ] || return 1
    apt=$work/apt-$suite
    mkdir -p "$apt/sources" "$apt/state/lists/partial" "$apt/cache/archives/partial" "$apt/got"
    derive_sources "$suite" >"$apt/sources/cyan.sources"
    [ -s "$apt/sources/cyan.sources" ] || return 1
    say "asking this machine's Debian mirror for mbedtls in $suite"
    set -- -qq -o Dir::State="$apt/state" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$apt/cache" \
        -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$apt/sources" \
        -o APT::Sandbox::User= -o Acquire::Languages=none -o Acquire::Retries=2 -o Acquire::http::Timeout=30
    (cd "$apt/got" && apt-get "$@" -o APT::Update::Error-Mode=any update &&
        apt-get "$@" source --download-only mbedtls) >"$apt/log" 2>&1 || {
        say "no luck: $(tail -n 1 "$apt/log")"
        return 1
    }
    for file in "$apt/got"/mbedtls_*.orig.tar.*; do
        [ -f "$file" ] && keep "$file" && return 0
    done
    return 1
}

from_upstream() {
    command -v curl >/dev/null || return 1
    for version in $(awk '{ print $2 }' "$allowed"); do
        say "asking the mbedTLS project for release $version"
        file=$work/mbedtls-$version.tar.bz2
        curl -fsSL --retry 2 --connect-timeout 15 -o "$file" \
            "$release/mbedtls-$version/mbedtls-$version.tar.bz2" || continue
        keep "$file" && return 0
    done
    return 1
}

if [ $# -gt 0 ]; then
    version_of "$1" >/dev/null || {
        say "$1 is not one of the releases in $allowed (SHA-256 differs)"
        exit 1
    }
    echo "$1"
    exit 0
fi

mkdir -p "$cache"
exec 9>"$cache/lock" # two builds at once fetch once
if command -v flock >/dev/null; then
    flock 9
fi
from_cache && exit 0
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
from_mirror sid && exit 0
from_mirror trixie && exit 0
from_upstream && exit 0
say "no source served mbedTLS $(awk '{ printf "%s%s", sep, $2; sep = " or " }' "$allowed")."
say "Get mbedtls-VERSION.tar.bz2 of one of these releases by other means and put it into $cache/,"
say "or name it (or an unpacked tree of it): cmake --preset dev -DCYAN_MBEDTLS_SOURCE=/path/to/it"
exit 1
