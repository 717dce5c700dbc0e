#!/usr/bin/env bash
# A sweep on Slurm: head and workers of a Ray cluster in one allocation, on the first node the driver.
#
#   sbatch configs/cluster/slurm.sh --space spatial --data /shared/slides
#
# The flags are those of sweeps/run.py. Submit it from the checkout, which must lie on a file system that all nodes see.
# Requeue-friendly: started again (preempted, node lost, time over), it goes on where it was.

#SBATCH --job-name=stclip
#SBATCH --nodes=3                 # CHANGE: nodes; the first one is the head and runs trials too
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=8         # CHANGE: processors of a node that trials share
#SBATCH --mem=32G                 # CHANGE: memory of a node
##SBATCH --gpus-per-node=1        # CHANGE: one '#' less where trials train on GPUs
#SBATCH --time=08:00:00           # CHANGE: how long at most
##SBATCH --partition=preemptible  # CHANGE: one '#' less and your site's preemptible partition
##SBATCH --account=my_lab         # CHANGE: one '#' less and your account, where the site wants one
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180       # three minutes before the end, so that the sweep stops cleanly and is queued again

set -euo pipefail

# USR1: the time is nearly over. TERM: preempted, or scancel. Either way the sweep stops cleanly and can be resumed. The traps are
# set before all else: a signal that comes before there is a driver stops the job too.
DRIVER="" AGAIN=no SIGNALLED=no STATUS=1
pass_on() {
    SIGNALLED=yes
    [ -z "$DRIVER" ] || kill -TERM "$DRIVER" 2>/dev/null || true
}
trap 'AGAIN=yes; pass_on' USR1
trap pass_on TERM

RESULTS="$SLURM_SUBMIT_DIR/results" # CHANGE: a folder that all nodes see, or an address (s3://bucket/results)
ENVIRONMENT="$SLURM_SUBMIT_DIR/.venv/bin/activate" # CHANGE: the environment in which stclip is installed
export STCLIP_CACHE="$SLURM_SUBMIT_DIR/.cache-stclip" # CHANGE: where stores are built; a node's own fast disk is best

# shellcheck disable=SC1090
source "$ENVIRONMENT"
cd "$SLURM_SUBMIT_DIR"

# The name stays the same when Slurm starts this job again, so that the sweep finds its folder.
NAME="slurm-$SLURM_JOB_ID"
PRIVATE="$SLURM_SUBMIT_DIR/.ray-$SLURM_JOB_ID"
PORT=$((20000 + SLURM_JOB_ID % 20000)) # two jobs that share a node get different ports
SHORT="/tmp/ray-$SLURM_JOB_ID" # sockets: a path must stay under 108 characters

# A token of this job alone, in a file that only its owner can read, on the shared file system.
(
    umask 077
    rm -rf -- "$PRIVATE" # of an earlier run of this job
    mkdir -- "$PRIVATE"  # and not -p: a folder of somebody else's is no place for a token
    head -c 32 /dev/urandom | od -An -vtx1 | tr -d ' \n' >"$PRIVATE/token"
)
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$PRIVATE/token"
export RAY_USAGE_STATS_ENABLED=0 RAY_worker_niceness=0

HEAD="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
HEAD_IP="$(srun --nodes=1 --ntasks=1 --nodelist="$HEAD" hostname --ip-address | awk '{print $1}')"
export RAY_ADDRESS="$HEAD_IP:$PORT"
GPUS="${SLURM_GPUS_ON_NODE:-0}"

# On each node: Ray's folder, which nobody else can enter. One that somebody else has made beforehand is refused: its maker could
# replace Ray's sockets and logs. One of this user's own is what an earlier run of this job left.
# shellcheck disable=SC2016
PREPARE='umask 077
mkdir -- "$0" 2>/dev/null || { [ -d "$0" ] && [ ! -L "$0" ] && [ -O "$0" ] && chmod 700 -- "$0"; } || {
    echo "error: $0 on $(hostname) is not a folder of ours; somebody has made it, or it cannot be made" >&2
    exit 1
}'

# Each node's Ray is one task of srun and ends with the allocation, whatever happens to this script.
start_ray() { # NODES NODELIST, arguments of `ray start`
    local count="$1" nodes="$2"
    shift 2
    # shellcheck disable=SC2016
    env -u RAY_ADDRESS srun --overlap --nodes="$count" --ntasks="$count" --nodelist="$nodes" \
        bash -c "$PREPARE"'; exec ray start "$@"' "$SHORT" \
        --temp-dir "$SHORT/ray" --num-cpus "$SLURM_CPUS_PER_TASK" --num-gpus "$GPUS" --disable-usage-stats --block "$@" &
}

# shellcheck disable=SC2329
clean_up() {
    rm -rf -- "$PRIVATE"
    # shellcheck disable=SC2046
    [ -z "$(jobs -p)" ] || kill $(jobs -p) 2>/dev/null || true
}
trap clean_up EXIT

start_ray 1 "$HEAD" --head --node-ip-address "$HEAD_IP" --port "$PORT" --dashboard-host 127.0.0.1
for _ in $(seq 60); do
    if ray status >/dev/null 2>&1; then break; fi
    sleep 2
done
ray status >/dev/null || {
    echo "error: the head did not start; see above" >&2
    exit 1
}
OTHERS="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | tail -n +2 | paste -sd, -)"
if [ -n "$OTHERS" ]; then start_ray $((SLURM_JOB_NUM_NODES - 1)) "$OTHERS" --address "$RAY_ADDRESS"; fi

echo "dashboard: ssh -L 8265:127.0.0.1:8265 $HEAD, then open http://127.0.0.1:8265 and paste the token of $PRIVATE/token"

if [ "$SIGNALLED" = no ]; then
    bash configs/cluster/run_or_resume.sh "$RESULTS" "$NAME" "$@" &
    DRIVER=$!
    [ "$SIGNALLED" = no ] || kill -TERM "$DRIVER" 2>/dev/null || true # it came between the two lines above
    SIGNALLED=yes
fi
while [ -n "$DRIVER" ] && [ "$SIGNALLED" = yes ]; do # a trap ends a `wait`, so the driver is waited for again
    SIGNALLED=no STATUS=0
    wait "$DRIVER" || STATUS=$?
done
if [ "$AGAIN" = yes ]; then
    echo "the time is over; queued again, to go on with $RESULTS/$NAME"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$STATUS"
