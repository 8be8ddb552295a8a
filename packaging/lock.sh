#!/bin/sh
# Renews requirements/run.txt and dev.txt from the .in files: the newest versions
# that fit, for every supported Python and machine, with hashes and without the
# address of any package index, so that a mirror serves as well as the original.
set -eu
cd "$(dirname "$0")/../requirements"
uv=../.venv/bin/uv

compile() {
    # --no-config: a mirror or wheel folder configured on this machine stays here.
    env -u UV_FIND_LINKS -u PIP_FIND_LINKS UV_CUSTOM_COMPILE_COMMAND="make lock" \
        "$uv" --no-config pip compile --quiet --upgrade --universal --python-version 3.11 \
        --generate-hashes --annotation-style line "$1.in" --output-file "$1.txt"
}

check() {
    if grep -nE '://|^ *--(find-links|index-url|extra-index-url|trusted-host)|==[^ ]*\+' "$1.txt"; then
        echo "requirements/$1.txt names an address or a local build (above)." >&2
        exit 1
    fi
    # A fresh machine has no compiler: each pin must come as a wheel.
    for version in 3.11 3.12 3.13 3.14; do
        for machine in x86_64 aarch64; do
            "$uv" --no-config pip compile --quiet --no-deps --only-binary :all: \
                --python-version $version --python-platform $machine-manylinux_2_34 \
                "$1.txt" >/dev/null
        done
    done
}

compile run
compile dev
check run
check dev
echo "requirements/run.txt and requirements/dev.txt are renewed; each pin has wheels for"
echo "Python 3.11 to 3.14 on x86_64 and aarch64."
