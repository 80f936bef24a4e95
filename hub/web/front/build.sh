#!/usr/bin/env bash
# Builds the pages' scripts into hub/web/static/dist; does nothing where they are up to date.
# Node comes from the PATH, or, where there is none (or an old one), from a locked Python wheel.
set -euo pipefail
cd "$(dirname "$0")"

stamp=../static/dist/.inputs
inputs=$(cat package.json package-lock.json build.mjs src/* | cksum)
if [[ -f $stamp && $(<"$stamp") == "$inputs" ]]; then
  echo "front: up to date"
  exit 0
fi

fit() { # a Node of at least 18, with its npm
  command -v node >/dev/null && command -v npm >/dev/null \
    && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' 2>/dev/null
}
if ! fit; then
  echo "front: no recent Node on the PATH, installing the locked wheel beside Python"
  python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-node.lock
  hash -r
fi
if ! fit; then
  echo "front: Node cannot be run, the pages' scripts are not built" >&2
  exit 1
fi

npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
node build.mjs
echo "$inputs" >"$stamp"
echo "front: built with Node $(node --version)"
