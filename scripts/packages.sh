#!/bin/sh
# Installs the Debian packages Cyan needs, and only those that are missing: packages.sh build|run|check
set -eu

build="gcc libc6-dev cmake ninja-build pkg-config libuv1-dev libpq-dev libhiredis-dev libmicrohttpd-dev libjansson-dev
    libprotobuf-c-dev protobuf-c-compiler libinih-dev libcoap3-dev uthash-dev libcmocka-dev libssl-dev libargon2-dev
    libcurl4-openssl-dev|libcurl4-gnutls-dev|libcurl4-nss-dev zlib1g-dev ca-certificates curl openssl"
run="$build postgresql redis-server python3"
check="$run python3-pytest python3-pytest-xdist python3-jsonschema libcoap3-bin clang-format nodejs"

case ${1:-} in
build) wanted=$build ;;
run) wanted=$run ;;
check) wanted=$check ;;
*)
    echo "usage: packages.sh build|run|check" >&2
    exit 2
    ;;
esac

installed() {
    dpkg-query -W -f='${Status}\n' "$1" 2>/dev/null | grep -q '^install ok installed$'
}

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This machine has no apt: install what scripts/packages.sh lists by its own means." >&2
    exit 1
fi

missing=
for package in $wanted; do
    found=
    for choice in $(echo "$package" | tr '|' ' '); do
        if installed "$choice"; then
            found=yes
            break
        fi
    done
    [ -n "$found" ] || missing="$missing ${package%%|*}"
done
# Some builds of nodejs bring npm along.
[ "$1" != check ] || command -v npm >/dev/null || missing="$missing npm"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    root=
elif command -v sudo >/dev/null; then
    root="sudo"
else
    echo "Packages are missing and there is no sudo here. As root: apt-get install$missing" >&2
    exit 1
fi

# The packages of Postgres and Redis start services of their own when they are first installed. Cyan brings private
# ones, so for the moment of the installation no database is made, and Redis's service is not started unless the machine
# has a policy of its own about that. Nor is it to come up at the next boot. Nothing else stays changed.
made=
restore() {
    for file in $made; do
        $root rm -f "$file"
    done
}
trap restore EXIT
trap 'exit 1' HUP INT TERM
is_missing() {
    case "$missing " in
    *" $1 "*) return 0 ;;
    esac
    return 1
}
if is_missing postgresql && ! installed postgresql-common; then
    made=/etc/postgresql-common/createcluster.d/cyan-install.conf
    $root mkdir -p "$(dirname "$made")"
    echo "create_main_cluster = off" | $root tee "$made" >/dev/null
fi
policy=/usr/sbin/policy-rc.d
if is_missing redis-server && ! [ -e "$policy" ]; then
    made="$made $policy"
    $root tee "$policy" >/dev/null <<'TEXT'
#!/bin/sh
# Made by scripts/packages.sh of Cyan while it installs packages, and removed afterwards.
case " $* " in
*" redis-server "* | *" redis-server.service "*) exit 101 ;; # not to be started
esac
exit 0
TEXT
    $root chmod 755 "$policy"
fi

echo "Installing Debian packages:$missing"
log=$(mktemp)
# shellcheck disable=SC2086 # $root and $missing are lists
if ! { $root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 update &&
    $root env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300 \
        install --no-install-recommends $missing; } >"$log" 2>&1 </dev/null; then
    tail -n 30 "$log" >&2
    rm -f "$log"
    echo "Installing packages failed; the lines above say why." >&2
    exit 1
fi
rm -f "$log"
if is_missing redis-server; then
    $root update-rc.d redis-server disable >/dev/null 2>&1 || true
fi
