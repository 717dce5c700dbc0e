#!/usr/bin/env bash
# A Ray cluster of three nodes on this machine, to try what a sweep does on a cluster. See README.md beside this file.
#
# Every port is on loopback and asks for a token. What is started is written down in a folder that only you can
# read, and only that is ever ended: another Ray on this machine is left alone.
set -euo pipefail

STATE="${STCLIP_LOCAL_CLUSTER:-$HOME/.cache/stclip/local-cluster}"
NODES="1 2 3" # 1 is the head
READY_SECONDS=120
STOP_SECONDS=20

usage() {
    cat <<'TEXT'
usage: configs/cluster/local.sh start [--cpus-per-node N] [--port N] [--dashboard-port N] [--client-port N]
       configs/cluster/local.sh status
       configs/cluster/local.sh kill-node 2|3   SIGKILL to that node's raylet, as when a machine is lost
       configs/cluster/local.sh stop

  --cpus-per-node   trials that fit a node (default: a third of this machine's processors, at least 1)
  --port            of the head (default 6379); --dashboard-port (default 8265); --client-port, ray:// (default 10001)

STCLIP_LOCAL_CLUSTER names another folder for what is written down, and so allows a second cluster.
TEXT
}

fail() {
    echo "error: $*" >&2
    exit 2
}

# --- processes: a pid alone may belong to somebody else by now, so the time it started is kept beside it

started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; } # clock ticks after boot

is_alive() { # PID TICKS: this very process runs
    local now
    now="$(started_at "$1")"
    [ -n "$now" ] && [ "$now" = "$2" ] && [[ "$(ps -o stat= -p "$1")" != Z* ]]
}

tree() { # PID: the process and all below it, a line "PID TICKS" each
    local child
    printf '%s %s\n' "$1" "$(started_at "$1")"
    for child in $(ps -o pid= --ppid "$1"); do tree "$child"; done
}

node_alive() { # NODE
    local pid start
    [ -f "$STATE/node-$1" ] || return 1
    read -r pid start <"$STATE/node-$1"
    is_alive "$pid" "$start"
}

signal_all() { # SIGNAL, processes on stdin
    local pid start
    while read -r pid start; do
        if is_alive "$pid" "$start"; then kill -"$1" "$pid" 2>/dev/null || true; fi
    done
}

any_alive() { # processes on stdin
    local pid start
    while read -r pid start; do
        if is_alive "$pid" "$start"; then return 0; fi
    done
    return 1
}

# --- token: what every node and every client must know

make_token_private() {
    local path="${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}" draft
    [ -z "${RAY_AUTH_TOKEN:-}" ] || return 0
    if [ ! -e "$path" ]; then
        [ -z "${RAY_AUTH_TOKEN_PATH:-}" ] || fail "RAY_AUTH_TOKEN_PATH names '$path', which is not there"
        (umask 077 && mkdir -p "$HOME/.ray")
        draft="$(mktemp "$HOME/.ray/auth_token.XXXXXX")" # mode 600; Ray itself would write one that all can read
        head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' >"$draft"
        ln "$draft" "$path" 2>/dev/null || true # somebody else was quicker: theirs counts
        rm -f "$draft"
    fi
    [ -s "$path" ] || fail "the token file '$path' is empty; delete it and start again"
    if [ -O "$path" ] && [ -n "$(find -L "$path" -perm /077)" ]; then
        chmod go= "$path"
        echo "token: $path is now readable by you alone"
    fi
}

# --- start

port_is_free() { ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

start_node() { # NODE, arguments of `ray start`
    local node="$1"
    shift
    # A folder of each node's own, since nodes that start together in one get into each other's way; none below
    # $STATE, since a path of a socket must stay under 108 characters. Object manager, node manager, agents, metrics
    # and workers take free ports; Ray's fixed defaults would clash.
    setsid ray start "$@" --block --disable-usage-stats --node-name "node-$node" --temp-dir "$SHORT/$node" \
        --num-cpus "$CPUS" --num-gpus 0 --object-store-memory 134217728 \
        --dashboard-agent-listen-port 0 --min-worker-port 0 --max-worker-port 0 \
        >"$STATE/node-$node.log" 2>&1 </dev/null &
    echo "$! $(started_at $!)" >"$STATE/node-$node"
}

wait_ready() { # NODE
    local since=$SECONDS
    until grep -q "Ray runtime started" "$STATE/node-$1.log"; do
        if ! node_alive "$1" || ((SECONDS - since > READY_SECONDS)); then
            tail -n 20 "$STATE/node-$1.log" >&2
            cp "$STATE/node-$1.log" "$STATE/failed.log"
            end_nodes
            echo "error: node $1 did not start; its whole log is $STATE/failed.log" >&2
            exit 1
        fi
        sleep 0.3
    done
}

start() {
    [ -r /proc/self/stat ] || fail "local.sh runs on Linux only; Ray has no clusters of several nodes elsewhere"
    local port=6379 dashboard=8265 client=10001 processors node
    processors="$(nproc)"
    CPUS=$((processors / 3 > 1 ? processors / 3 : 1))
    while [ $# -gt 0 ]; do
        case "$1" in
        --cpus-per-node | --port | --dashboard-port | --client-port)
            [[ "${2:-}" =~ ^[1-9][0-9]{0,4}$ ]] || fail "$1 needs a whole number from 1 up, got '${2:-}'"
            ;;&
        --cpus-per-node) CPUS="$2" ;;
        --port) port="$2" ;;
        --dashboard-port) dashboard="$2" ;;
        --client-port) client="$2" ;;
        *) fail "unknown argument '$1'; known: --cpus-per-node, --port, --dashboard-port, --client-port" ;;
        esac
        shift 2
    done
    command -v ray >/dev/null || fail "ray is not found; activate the environment in which stclip is installed"
    PATH="$(dirname "$(command -v ray)"):$PATH" # a job runs 'python', which must be this environment's
    for node in $NODES; do
        if node_alive "$node"; then fail "a cluster is running already; configs/cluster/local.sh stop ends it"; fi
    done
    port_is_free "$port" || fail "port $port is taken; choose another with --port"
    port_is_free "$dashboard" || fail "port $dashboard is taken; choose another with --dashboard-port"
    port_is_free "$client" || fail "port $client is taken; choose another with --client-port"

    umask 077
    mkdir -p "$STATE"
    chmod 700 "$STATE"
    make_token_private
    forget
    SHORT="$(mktemp -d "/tmp/stclip-XXXXXX")" # mode 700; below it Ray makes folders that all can write
    echo "$SHORT" >"$STATE/short"
    echo "LOCALHOST:$port" >"$STATE/address"
    echo "http://127.0.0.1:$dashboard" >"$STATE/dashboard"
    echo "ray://LOCALHOST:$client" >"$STATE/client"

    export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0
    unset RAY_ADDRESS
    trap 'end_nodes; echo "interrupted; nothing was left running" >&2; exit 130' INT TERM
    # Ray gives a node the machine's network address, and its ports then listen on all networks. With this switch,
    # meant for desktops, the head takes 127.0.0.1, and all that it starts listens there only.
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 start_node 1 --head --port "$port" --ray-client-server-port "$client" \
        --include-dashboard true --dashboard-host 127.0.0.1 --dashboard-port "$dashboard"
    wait_ready 1
    # A node that joins may not use that switch. Ray replaces 'localhost' and '127.0.0.1' by the machine's network
    # address, but not in capitals; the node then takes the address from which it sees the head: 127.0.0.1 again.
    for node in 2 3; do start_node "$node" --address "LOCALHOST:$port"; done
    for node in 2 3; do wait_ready "$node"; done
    trap - INT TERM
    describe
}

describe() {
    local node
    for node in $NODES; do
        if node_alive "$node"; then echo "node $node runs, pid $(cut -d' ' -f1 "$STATE/node-$node")"; else echo "node $node is gone"; fi
    done
    cat <<TEXT

run a sweep:  python sweeps/run.py --space spatial --address $(cat "$STATE/address")
submit one:   python sweeps/submit.py --address $(cat "$STATE/dashboard") -- --space spatial --results /a/shared/folder
dashboard:    $(cat "$STATE/dashboard")   (paste the token that 'ray get-auth-token' prints)
Ray client:   $(cat "$STATE/client")
Ray commands: export RAY_AUTH_MODE=token, then for example: ray status --address $(cat "$STATE/address")
metrics:      $(cat "$STATE/short")/1/prom_metrics_service_discovery.json lists the addresses for Prometheus
logs:         $STATE/node-N.log, $(cat "$STATE/short")/N/session_latest/logs
lose a node:  configs/cluster/local.sh kill-node 2
stop:         configs/cluster/local.sh stop
TEXT
}

status() {
    local node
    for node in $NODES; do
        if node_alive "$node"; then
            describe
            return 0
        fi
    done
    echo "no cluster runs; configs/cluster/local.sh start starts one"
    exit 1
}

# --- end

kill_node() { # NODE
    local pid start raylet
    case "${1:-}" in
    2 | 3) ;;
    1) fail "node 1 is the head, without which there is no cluster; configs/cluster/local.sh stop ends it" ;;
    *) fail "kill-node needs the number of a node, 2 or 3, got '${1:-}'" ;;
    esac
    node_alive "$1" || fail "node $1 does not run; configs/cluster/local.sh status shows what does"
    read -r pid start <"$STATE/node-$1"
    raylet="$(ps -o pid=,comm= --ppid "$pid" | awk '$2 == "raylet" {print $1}')"
    [ -n "$raylet" ] || fail "node $1 has no raylet yet; wait until it has started"
    kill -KILL "$raylet"
    echo "node $1 lost its raylet, pid $raylet; the head counts it as dead within half a minute"
}

end_nodes() { # from the last to the head: TERM, and KILL for what is still there
    local node pid start processes="" since
    for node in 3 2 1; do
        node_alive "$node" || continue
        read -r pid start <"$STATE/node-$node"
        processes+="$(tree "$pid")"$'\n'
        echo "$pid $start" | signal_all TERM
    done
    since=$SECONDS
    while any_alive <<<"$processes" && ((SECONDS - since < STOP_SECONDS)); do sleep 0.3; done
    signal_all KILL <<<"$processes"
    forget
}

forget() { # what is written down, and Ray's own files; the token stays
    local short
    if [ -f "$STATE/short" ]; then
        short="$(cat "$STATE/short")"
        case "$short" in /tmp/stclip-??????) rm -rf -- "$short" ;; esac
    fi
    rm -f "$STATE"/node-[123] "$STATE"/node-[123].log "$STATE/short" "$STATE/address" "$STATE/dashboard" "$STATE/client"
}

stop() {
    [ -f "$STATE/short" ] || fail "no cluster was started from here ($STATE holds none)"
    end_nodes
    echo "stopped"
}

action="${1:-}"
[ $# -eq 0 ] || shift
case "$action" in
start) start "$@" ;;
status) status ;;
stop) stop ;;
kill-node) kill_node "$@" ;;
-h | --help | help) usage ;;
*)
    usage >&2
    fail "unknown action '$action'; known: start, status, kill-node, stop"
    ;;
esac
