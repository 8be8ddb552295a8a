#!/bin/sh
# Everything `make bench` measures, one after the other, and the page that is made of it. What cannot
# be measured here (without nginx, or without a browser) does not keep the others from it, and is
# named at the end. Arguments go to bench/checks.py.
set -u
cd "$(dirname "$0")/.."
python=${BENCH_PYTHON:-.venv/bin/python}
failed=""

measure() {
    echo "bench/$*"
    $python "bench/$@" --out bench/results || failed="$failed $1"
}

measure checks.py "$@"
measure probes.py
measure bombs.py
measure alerts.py
measure overload.py
measure pages.py
measure first_load.py
measure start.py
measure disk.py
measure peak.py
measure reads.py
measure status.py
# As it is built of the sources that were measured above, and not of those of another day.
if make --no-print-directory binary; then
    measure checks.py --binary dist/netpulse
    measure start.py --binary dist/netpulse
else
    failed="$failed executable"
fi
$python bench/figures.py || failed="$failed figures.py"
[ -z "$failed" ] || { echo "Not measured:$failed" >&2; exit 1; }
