#!/bin/sh
# trim.sh VENV: takes out of an environment what only building and testing use. What it saves: docs/deploy/docker.md.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
du -sm "$packages" | cut -f1 | sed 's/$/ MB before/'
# Headers and static libraries are for building against these packages.
rm -rf "$packages/tensorflow/include" "$packages/pyarrow/include" "$packages/pyarrow/src"
find "$packages" -name '*.a' -delete
find "$packages" -type d \( -name tests -o -name test -o -name __pycache__ \) -prune -exec rm -rf {} +
du -sm "$packages" | cut -f1 | sed 's/$/ MB after/'
