#!/usr/bin/env bash
# Installs the stock peers of the interop suites into the user's cache, a folder per release. Needs Go 1.26 or later.
set -euo pipefail
cd "$(dirname "$0")/.."

cache="${COVE_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/cove/peers}"
current=1.102.3
older=(1.98.10 1.90.9 1.80.3 1.68.0)
# One compiler at a time: whoever works on this machine goes first.
export GOFLAGS="-buildvcs=false -p=1"

install() { # release program...
  local release=$1; shift
  local missing=()
  for program in "$@"; do
    [ -x "$cache/$release/$program" ] || missing+=("tailscale.com/cmd/$program@v$release")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "installing ${missing[*]}" >&2
  mkdir -p "$cache/$release"
  GOBIN="$cache/$release" GOFLAGS="$GOFLAGS -mod=mod" nice go install "${missing[@]}"
}

# Programs of test/interop/go, which use the current release as a library. Built anew when their source has changed.
build() { # program...
  local stamp="$cache/$current/interop-go.sha256" sum program
  sum=$(cat test/interop/go/go.* test/interop/go/*/*.go | sha256sum)
  [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ] && return
  rm -f "$stamp"
  for program in "$@"; do
    echo "building $program" >&2
    (cd test/interop/go && nice go build -o "$cache/$current/$program" "./$program")
  done
  # The release's own, not the system's.
  (cd test/interop/go && nice go build -o "$cache/$current/wireguard-go" github.com/tailscale/wireguard-go)
  echo "$sum" >"$stamp"
}

install "$current" tailscale tailscaled derper testcontrol derpprobe stunc tsp
for release in "${older[@]}"; do install "$release" tailscale tailscaled; done
build tsnetapp stockcontrol benchpeer
echo "$cache"
