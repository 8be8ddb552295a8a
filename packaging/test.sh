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

# These want the machine for themselves: they measure time, kill processes, drive a browser.
alone=""
for folder in tests/crash tests/browser tests/executable; do
    [ ! -d $folder ] || alone="$alone $folder"
done
ignore=""
for folder in $alone; do
    ignore="$ignore --ignore=$folder"
done

# The time limits stop a run that hangs or crawls; a whole run takes a quarter of an hour.
pytest -n 2 --dist worksteal -o session_timeout=1500 $ignore tests "$@"
[ -z "$alone" ] || pytest -o session_timeout=900 $alone "$@"
exit $failed
