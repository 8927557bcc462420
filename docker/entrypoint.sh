#!/bin/sh
# What a container does before it is a peer: finds key, API token and name, and says what is missing in a container's terms.
# Anything but `peer` is a command of pyfl's: docker run --rm pyfl init, docker exec pyfl-peer-1 pyfl status.
set -eu

[ "${1-}" = peer ] || exec pyfl "$@"

fail() {
    printf 'error: %s\n' "$@" >&2
    exit 5
}

if ! { mkdir -p "$PYFL_DATA_DIR" && touch "$PYFL_DATA_DIR/.writable" && rm "$PYFL_DATA_DIR/.writable"; } 2>/dev/null; then
    fail "$PYFL_DATA_DIR cannot be written by user $(id -u). A peer keeps its identity, ledger and checkpoints there. Mount a named volume
  (-v pyfl-peer-1:$PYFL_DATA_DIR); or, for a directory of the host, chown $(id -u):$(id -g) DIRECTORY, or run with --user and its owner."
fi

secrets=/run/secrets
if [ -z "${PYFL_SWARM_KEY-}" ] && [ -e "$secrets/swarm_key" ]; then
    export PYFL_SWARM_KEY="$secrets/swarm_key"
fi
case " $* --join ${PYFL_JOIN-}" in
*" --swarm-key"* | *" --join pyfl-"* | *" --join=pyfl-"*) ;; # named, or in a token
*)
    if [ -z "${PYFL_SWARM_KEY-}" ] && [ ! -e "$PYFL_DATA_DIR/swarm.key" ]; then
        fail "this container has no swarm key, so it can neither found a swarm nor join one. Make one for all its peers,
  docker/run.sh does, or: od -An -N32 -tx1 /dev/urandom | tr -d ' \\n' > swarm.key; then mount it
  (-v \"\$PWD/swarm.key:$secrets/swarm_key:ro\"), or join with a token of a running peer (docker exec PEER pyfl token)."
    fi
    ;;
esac
case "${PYFL_SWARM_KEY-}" in
*/*)
    [ ! -d "$PYFL_SWARM_KEY" ] || fail "$PYFL_SWARM_KEY is a directory: Docker makes one where a file that -v names does not exist.
  Remove it on the host, make the key there, and start the container again."
    [ -r "$PYFL_SWARM_KEY" ] || fail "the swarm key $PYFL_SWARM_KEY cannot be read by user $(id -u).
  Let the file be readable (chmod 0644) in a directory that only you can enter (chmod 0700), as docker/run.sh does."
    ;;
esac

if [ -r "$secrets/http_token" ]; then
    (umask 077 && cat "$secrets/http_token" >"$PYFL_DATA_DIR/.http.token" && mv "$PYFL_DATA_DIR/.http.token" "$PYFL_DATA_DIR/http.token")
fi

export PYFL_NAME="${PYFL_NAME:-$(hostname)}"
exec pyfl "$@"
