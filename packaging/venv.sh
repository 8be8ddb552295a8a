#!/bin/sh
# Makes .venv and brings it to the state of one lock file.
#
#   packaging/venv.sh run    what running needs        (requirements/run.txt)
#   packaging/venv.sh dev    that and everything else  (requirements/dev.txt)
#
# Nothing is done when the lock is already installed: the copy of the lock kept in
# .venv is compared byte for byte, which takes a few milliseconds. PYTHON names
# the interpreter to build .venv with; without it a fitting one is looked for.
set -eu
cd "$(dirname "$0")/.."
set_name=${1:?usage: packaging/venv.sh run|dev}
lock=requirements/$set_name.txt
venv=.venv
installed=$venv/installed-$set_name.txt

say() { printf '%s\n' "$*" >&2; }

# 3.11 to 3.14 are the versions the locks have wheels for.
fits() {
    "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' 2>/dev/null
}

# Debian ships the venv module without ensurepip unless python3-venv is there.
can_make_venv() { "$1" -c 'import venv; from ensurepip import version' 2>/dev/null; }

# Also false when the interpreter of .venv was removed or upgraded.
venv_works() {
    [ -x $venv/bin/python ] && fits $venv/bin/python &&
        $venv/bin/python -c 'import pip, sys; sys.exit(sys.prefix == sys.base_prefix)' 2>/dev/null
}

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        if ! command -v "$PYTHON" >/dev/null 2>&1; then
            say "PYTHON=$PYTHON: there is no such program."
            exit 1
        fi
        if ! fits "$PYTHON"; then
            say "PYTHON=$PYTHON is $("$PYTHON" --version 2>&1 || true); NetPulse needs Python 3.11, 3.12, 3.13 or 3.14."
            exit 1
        fi
        return
    fi
    candidates="python3 python3.14 python3.13 python3.12 python3.11 python"
    for candidate in $candidates; do
        if fits "$candidate" && can_make_venv "$candidate"; then
            PYTHON=$candidate
            return
        fi
    done
    for candidate in $candidates; do
        if fits "$candidate"; then
            PYTHON=$candidate
            return
        fi
    done
    say "NetPulse needs Python 3.11, 3.12, 3.13 or 3.14. Looked for: $candidates."
    if command -v python3 >/dev/null 2>&1; then
        say "python3 here is $(python3 --version 2>&1 || true)."
    fi
    say "Install one of them, or name it: make run PYTHON=/path/to/python3.12"
    exit 1
}

as_root_install() {
    say "Running: $*"
    if ! DEBIAN_FRONTEND=noninteractive "$@"; then
        # A machine that never fetched the package lists knows no package.
        apt-get update && DEBIAN_FRONTEND=noninteractive "$@"
    fi
}

need_venv_support() {
    can_make_venv "$PYTHON" && return
    package=$("$PYTHON" -c 'import sys; print("python3.%d-venv" % sys.version_info[1])')
    if ! command -v apt-get >/dev/null 2>&1; then
        say "$PYTHON cannot make virtual environments: its modules venv and ensurepip are missing."
        say "Install them with your system's package manager, then run make again."
        exit 1
    fi
    if [ "$(id -u)" -eq 0 ]; then
        as_root_install apt-get install -qq -y --no-install-recommends "$package" >&2
        can_make_venv "$PYTHON" && return
        say "$package is installed, and $PYTHON still cannot make virtual environments."
        exit 1
    fi
    say "$PYTHON cannot make virtual environments yet. Run this once, then make again:"
    say ""
    say "    sudo apt-get install $package"
    exit 1
}

if cmp -s "$lock" "$installed" && venv_works; then
    exit 0
fi

if ! venv_works; then
    find_python
    need_venv_support
    say "Making $venv with $("$PYTHON" --version 2>&1)."
    "$PYTHON" -m venv --clear $venv
fi

say "Installing $lock (once; later starts skip this)."
rm -f $venv/installed-*.txt
if ! $venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input \
    --require-hashes --requirement "$lock"; then
    say ""
    say "The packages of $lock could not be installed; the reason is above."
    exit 1
fi

# dev.txt holds everything that run.txt does, at the same versions.
cp requirements/run.txt $venv/installed-run.txt
[ "$set_name" = run ] || cp "$lock" "$installed"
