#!/bin/sh
# Everything `make test` does: the checks, the system packages, the executable, the tests.
# Arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
bin=.venv/bin

make --no-print-directory check

$bin/python packaging/system_packages.py --optional browser binary network clients proxy
# The tests of the executable need it built; they skip, and say so, where it cannot be.
if [ -d tests/executable ] && $bin/python packaging/system_packages.py binary >/dev/null; then
    make --no-print-directory binary
fi

pytest() {
    echo "pytest $*"
    # 5: no test was selected, which is right when the arguments name tests of the other half.
    $bin/python -m pytest "$@" || { status=$?; [ $status -eq 5 ] || failed=$status; }
}
failed=0

# Most tests mostly wait: three at a time keep two cores busy. Browsers are two at a time, each file
# with a NetPulse of its own. What kills processes or looks at the executable is alone.
browsers="" alone="" ignore=""
for folder in tests/browser tests/crash tests/executable; do
    [ -d $folder ] || continue
    ignore="$ignore --ignore=$folder"
    [ $folder = tests/browser ] && browsers=$folder || alone="$alone $folder"
done

# The time limits stop a run that hangs or crawls; a whole run takes a quarter of an hour.
pytest -n 3 --dist worksteal -o session_timeout=1200 $ignore tests "$@"
[ -z "$browsers" ] || pytest -n 2 --dist loadfile -o session_timeout=600 $browsers "$@"
[ -z "$alone" ] || pytest -o session_timeout=600 $alone "$@"
exit $failed
