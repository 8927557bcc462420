#!/usr/bin/env bash
# Six peers in containers, one after another, and the dashboard.
#
#   docker/run.sh [up] [--cifar10 FILE] [--rounds N] [--peers N] [--no-build]
#   docker/run.sh down      stop and remove the containers; keys, images and the peers' volumes stay, and `up` goes on from them
#   docker/run.sh clean     the same, and remove volumes and keys
#
#   --cifar10 FILE   train on CIFAR-10; FILE: an .npz with x_train, y_train, x_test, y_test
#   --rounds N       the run's last round (1000 of digits, 30 of CIFAR-10)
#   --peers N        six or more (6)
#   --no-build       take the images as they are
#
# Environment: what docker/.env lists, and PYFL_BUILD_OPTIONS, more options for `docker build`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

usage() {
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]##*/}"
    exit "$1"
}

while IFS='=' read -r name value; do
    if [[ $name =~ ^[A-Z_]+$ ]] && [ -z "${!name-}" ]; then export "$name=$value"; fi
done <.env

# ---- what was asked for

action=up peers=6 build=yes
case "${1-}" in up | down | clean) action=$1 && shift ;; esac
while [ $# -gt 0 ]; do
    option=$1
    case "$option" in
    --cifar10 | --rounds | --peers)
        [ $# -gt 1 ] || fail "$option needs a value; docker/run.sh --help"
        case "$option" in
        --cifar10)
            file=$(cd "${OLDPWD:-.}" && realpath -e -- "$2" 2>/dev/null) || fail "--cifar10: there is no file $2"
            [ -f "$file" ] || fail "--cifar10: $2 is no file; expected an .npz with x_train, y_train, x_test, y_test"
            export PYFL_APP=${PYFL_APP:-cifar10:partition=pathological:6} PYFL_ROUNDS=${PYFL_ROUNDS:-30} PYFL_DATA_FILE=$file PYFL_DATA=/dataset
            ;;
        --rounds) [[ $2 =~ ^[1-9][0-9]*$ ]] || fail "--rounds: $2 is no number of rounds" && export PYFL_ROUNDS=$2 ;;
        --peers) [[ $2 =~ ^[0-9]+$ ]] && [ "$2" -ge 6 ] || fail "--peers: $2; expected six or more" && peers=$2 ;;
        esac
        shift 2
        ;;
    --no-build) build=no && shift ;;
    -h | --help) usage 0 ;;
    *) printf 'error: unknown: %s\n\n' "$option" >&2 && usage 2 >&2 ;;
    esac
done

# ---- what is needed

command -v docker >/dev/null || fail "there is no docker command. Install Docker Engine and its Compose plugin (Debian: apt install docker.io docker-compose)."
said=$(docker version --format '{{.Server.Version}}' 2>&1) || fail "no Docker engine answers (${DOCKER_HOST:-the default socket}): ${said##*$'\n'}
  Start it (systemctl start docker), and be in the group docker or root."
if docker compose version >/dev/null 2>&1; then
    compose() { docker compose "$@"; }
    shown="docker compose"
elif command -v docker-compose >/dev/null; then
    compose() { docker-compose "$@"; }
    shown="docker-compose"
else
    fail "there is an engine but no Compose: install the plugin (docker compose) or docker-compose 1.29."
fi
export DOCKER_BUILDKIT=1

client=$(docker version --format '{{.Client.Version}}')
if [ $build = yes ] && [ $action = up ] && [ "${client%%.*}" -ge 23 ] && ! docker buildx version >/dev/null 2>&1; then
    fail "docker $client builds images with BuildKit only where its plugin buildx is: install it (Debian: apt install docker-buildx)."
fi

# ---- down and clean

case "$action" in
down | clean)
    [ $action = clean ] && volumes=--volumes || volumes=
    [ -e secrets/swarm_key ] || made=$(mkdir -p secrets && touch secrets/swarm_key secrets/http_token && echo yes)
    compose rm --stop --force -v peer # with their volumes, which have no names by which anybody could find them again
    compose down --remove-orphans $volumes
    if [ $action = clean ] || [ "${made-}" ]; then rm -rf secrets; fi
    exit
    ;;
esac

# ---- up

kept=(PYFL_APP PYFL_ROUNDS PYFL_STRATEGY PYFL_MIN_PEERS PYFL_DATA PYFL_DATA_FILE PYFL_API PYFL_DASHBOARD)
# What the volumes' run was started with holds until `clean`: founder and data must not change under it.
for variable in "${kept[@]}"; do
    before=$(sed -n "s|^$variable=||p" secrets/settings 2>/dev/null || true)
    now=${!variable-}
    case "$variable" in
    PYFL_APP | PYFL_ROUNDS | PYFL_STRATEGY | PYFL_MIN_PEERS)
        [ ! -e secrets/settings ] || [ "${now:-$before}" = "$before" ] ||
            fail "the run in these containers' volumes has $variable=${before:-as compose.yaml says}, and you say $now. It goes on as it was without that option;
  docker/run.sh clean forgets it, and the next docker/run.sh begins a new one."
        ;;
    esac
    [ -z "${now:-$before}" ] || export "$variable=${now:-$before}"
done

# A directory that only its owner can enter, with files that the user of the containers can read.
mkdir -p secrets && chmod 0700 secrets
for secret in swarm_key http_token; do
    [ -s "secrets/$secret" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"secrets/$secret"
    chmod 0644 "secrets/$secret"
done
for variable in "${kept[@]}"; do
    echo "$variable=${!variable-}"
done >secrets/settings

free() { # VARIABLE HOST:PORT WHAT: fails if somebody else listens there
    local host=${2%:*} port=${2##*:}
    [ "$host" != 0.0.0.0 ] || host=127.0.0.1
    if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
        fail "$2, for $3, is taken by another program. Choose another: $1=127.0.0.1:$((port + 1)) docker/run.sh"
    fi
}
api=${PYFL_API:-127.0.0.1:7780} dashboard=${PYFL_DASHBOARD:-127.0.0.1:8501}
running=$(docker ps --quiet --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
if [ -z "$running" ]; then
    free PYFL_API "$api" "the API of peer-1"
    free PYFL_DASHBOARD "$dashboard" "the dashboard"
fi

if [ $build = yes ]; then
    [ -t 1 ] && quiet= || quiet=--quiet
    for image in peer:${PYFL_IMAGE:-pyfl} dashboard:${PYFL_DASHBOARD_IMAGE:-pyfl-dashboard}; do
        echo "building ${image#*:}; the first time takes a few minutes"
        # shellcheck disable=SC2086 # options are words
        docker build $quiet --file Dockerfile --target "${image%%:*}" --tag "${image#*:}" \
            --build-arg "BASE=${PYFL_BASE:-debian:trixie-slim}" ${PYFL_BUILD_OPTIONS-} .. ||
            fail "the image ${image#*:} could not be built. Where Debian's or PyPI's hosts, or a registry's, cannot be reached as they are:
  \"An index of your own\" in docs/deploy/docker.md."
    done
fi

echo "starting $peers peers, one after another"
compose up --detach --no-build --scale peer=$((peers - 6)) || {
    echo "error: not all of them started. The last that each of them said:" >&2
    compose logs --tail 3 >&2
    exit 1
}
cat <<TEXT

dashboard   http://$dashboard
API         http://$api/docs      the token is in docker/secrets/http_token

            curl -H "Authorization: Bearer \$(cat docker/secrets/http_token)" http://$api/v1/status
            docker exec $COMPOSE_PROJECT_NAME-peer-1 pyfl watch
            docker kill $COMPOSE_PROJECT_NAME-peer-2 $COMPOSE_PROJECT_NAME-peer-5; docker start $COMPOSE_PROJECT_NAME-peer-2 $COMPOSE_PROJECT_NAME-peer-5
            docker/run.sh down
TEXT
