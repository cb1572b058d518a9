#!/usr/bin/env bash
# Sets up .venv from the lock; `setup.sh test` also brings and compiles what only the tests need, `setup.sh cluster` what a test node and the
# images need besides. Does nothing where all is there.
set -euo pipefail
cd "$(dirname "$0")/.."

what=${1:-}
packages=(libusb-1.0-0 libegl1 libgl1 libgomp1 libx11-6) # Open3D's
[ -z "$what" ] || packages+=(chromium)           # the report's browser test
if [ "$what" = cluster ]; then
  packages+=(busybox-static)
  # by program: a machine with Docker has a containerd of another package, which Debian's would drive out
  for program in containerd runc iptables buildah debootstrap; do
    command -v "$program" >/dev/null || packages+=("$program")
  done
  command -v ip >/dev/null || packages+=(iproute2)
  [ -e /usr/lib/cni/ptp ] || packages+=(containernetworking-plugins)
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
python=$(command -v python3 || true)
if [ -z "$python" ]; then
  missing+=(python3 python3-venv)
elif ! command -v uv >/dev/null && ! "$python" -c 'import ensurepip' 2>/dev/null; then
  missing+=(python3-venv)
fi
if [ ${#missing[@]} -gt 0 ]; then
  install="apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-remove --no-install-recommends ${missing[*]}"
  if ! command -v apt-get >/dev/null; then
    echo "setup: this system has no apt-get; install what Debian calls: ${missing[*]}" >&2
    exit 1
  elif [ "$(id -u)" = 0 ]; then
    echo "setup: installing ${missing[*]}"
    bash -c "$install" >/dev/null
  elif sudo -n true 2>/dev/null; then
    echo "setup: installing ${missing[*]} (sudo)"
    sudo bash -c "$install" >/dev/null
  else
    echo "setup: system packages are missing; type:  sudo sh -c '$install'" >&2
    exit 1
  fi
fi

uv=$(command -v uv || true)
if [ -z "$uv" ] || ! "$uv" --version >/dev/null 2>&1; then
  uv=.cache/uv/bin/uv
  [ -x "$uv" ] || { echo "setup: bringing uv"; python3 -m venv .cache/uv && .cache/uv/bin/pip install -q uv; }
fi

stamp=$(cat requirements.lock pyproject.toml scripts/setup.sh | sha256sum | cut -c1-16)-${TORCH_BACKEND:-pypi}
if [ "$(cat .venv/.ready 2>/dev/null)" != "$stamp" ]; then
  [ -x .venv/bin/python ] || "$uv" venv -q --python '>=3.11,<3.13' .venv
  echo "setup: installing the locked packages"
  if [ -n "${TORCH_BACKEND:-}" ]; then # another build of PyTorch has other hashes and other dependencies, the same versions
    "$uv" pip install -q --python .venv/bin/python --no-verify-hashes --torch-backend "$TORCH_BACKEND" \
      --constraint requirements.lock -r pyproject.toml --all-extras
  else
    "$uv" pip sync -q --python .venv/bin/python --require-hashes requirements.lock
  fi
  "$uv" pip install -q --python .venv/bin/python --no-deps --no-build-isolation -e .
  echo "$stamp" >.venv/.ready
fi

# Tests start hundreds of programs; where Python may not write what it compiles, each would compile torch and its kin anew, for 8 s.
if [ -n "$what" ] && [ "$(cat .venv/.compiled 2>/dev/null)" != "$stamp" ]; then
  echo "setup: compiling the packages"
  .venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null || true # some carry files that are no Python of this version
  echo "$stamp" >.venv/.compiled
fi

if [ -n "$what" ] && [ ! -e .venv/bin/go ] && ! printf '%s\n' go1.25 "$(go env GOVERSION 2>/dev/null)" | sort -VC; then
  echo "setup: bringing Go, which builds the S3 server and the control plane of the tests"
  "$uv" pip install -q --python .venv/bin/python --require-hashes -r tests/testbed/tools/go.lock
fi
