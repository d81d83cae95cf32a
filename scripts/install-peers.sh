#!/usr/bin/env bash
# Installs the stock peers of the interop suites into the user's cache, a folder per release. Needs Go 1.26 or later.
set -euo pipefail

cache="${COVE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/cove/peers}"
current=1.102.3
older=(1.90.9 1.80.3)

install() { # release program...
  local release=$1; shift
  local missing=()
  for program in "$@"; do
    [ -x "$cache/$release/$program" ] || missing+=("tailscale.com/cmd/$program@v$release")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "installing ${missing[*]}" >&2
  mkdir -p "$cache/$release"
  GOBIN="$cache/$release" GOFLAGS=-mod=mod go install "${missing[@]}"
}

install "$current" tailscale tailscaled derper testcontrol derpprobe stunc tsp
for release in "${older[@]}"; do install "$release" tailscale tailscaled; done
echo "$cache"
