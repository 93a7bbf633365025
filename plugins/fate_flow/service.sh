#!/usr/bin/env bash
# Start, stop, restart a site, or show its state; kept for those who know FATE-Flow's script.
# usage: service.sh start|stop|restart|status [--home DIR]
set -euo pipefail

if (($# == 0)); then
    echo "usage: $0 {start|stop|restart|status} [--home DIR]" >&2
    exit 2
fi

folder=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if command -v fate_flow >/dev/null; then
    exec fate_flow service "$@"
fi
# Not installed on the PATH: use the package this script lies in.
PYTHONPATH=$(dirname "$folder")${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
exec "${PYTHON:-python3}" -m fate_flow.cli.main service "$@"
