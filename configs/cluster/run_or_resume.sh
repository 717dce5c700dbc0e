#!/usr/bin/env bash
# run_or_resume.sh RESULTS NAME FLAGS...: runs the sweep NAME below RESULTS, a folder or an address (s3://...), or goes on
# with it when an interruption left it there. For what starts a job again by itself: Slurm's requeue, Kubernetes' back-off.
set -euo pipefail

if [ $# -lt 2 ]; then
    echo "usage: configs/cluster/run_or_resume.sh RESULTS NAME FLAGS OF sweeps/run.py" >&2
    exit 2
fi
results="$1" name="$2"
shift 2
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
began() {
    case "$1" in
        *://*) python -c 'import sys; from stclip.files.addresses import open_address as o; sys.exit(not o(sys.argv[1]).exists("sweep.yaml"))' "$1" ;;
        *) [ -e "$1/sweep.yaml" ] ;;
    esac
}

if began "${results%/}/$name"; then
    exec python sweeps/run.py --resume "${results%/}/$name" # sweep.yaml there decides; the flags are the same anyway
fi
exec python sweeps/run.py --results "$results" --name "$name" "$@"
