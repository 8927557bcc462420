#!/bin/sh
# trim.sh VENV: takes out of an environment what only building and testing use. What it saves: docs/deploy/docker.md.
set -eu
packages=$(echo "$1"/lib/python3.*/site-packages)
weigh() { echo "$(du -sm "$packages" | cut -f1) MB $1"; }

weigh before
# Headers, static libraries and libclang are for building against these packages.
rm -rf "$packages/tensorflow/include" "$packages/clang/native" "$packages/pyarrow/include" "$packages/pyarrow/src"
find "$packages" -name '*.a' -delete
# `tests`, not `test`, which is also a part of TensorFlow's API. Bytecode comes back for what the image imports at start.
find "$packages" -type d \( -name tests -o -name __pycache__ \) -prune -exec rm -rf {} +
# TensorFlow's libraries come with their symbol tables. Others stay as they are: patchelf, through which most wheels went, and strip disagree.
find "$packages" -path '*/tensorflow/*' -name '*.so*' -size +1M -exec strip --strip-unneeded {} +
weigh after
