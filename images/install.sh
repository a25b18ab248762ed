#!/bin/sh
# What images/Dockerfile runs, a word for each layer: install.sh system|uv|lists|torch|packages|project.
set -eu

# CPU_INDEX set: torch without CUDA, from that index, and nothing of CUDA beside it.
of_cuda='^(cuda-(bindings|pathfinder|toolkit)|nvidia-[a-z0-9-]+|triton)$'

case "$1" in
system)
  # The lock is for x86-64 alone: for another architecture uv installs nothing, and says nothing.
  [ "$(uname -m)" = x86_64 ] || {
    echo >&2 "ttsrl runs on linux/amd64, and this is $(uname -m): docker build --platform linux/amd64"
    exit 1
  }
  apt-get update
  # PACKAGES is a list.
  # shellcheck disable=SC2086
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    ca-certificates libgomp1 python3 python3-dev wget ${PACKAGES}
  rm -rf /var/lib/apt/lists/*
  useradd --uid 10001 --home-dir /tmp --no-create-home ttsrl
  ;;
uv)
  apt-get update
  DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-venv
  python3 -m venv /opt/uv
  /opt/uv/bin/pip install --no-cache-dir "uv==$UV_VERSION"
  ;;
lists)
  # What uv.lock says, as lists: a layer is made anew only when its own list changes.
  export_list() {
    /opt/uv/bin/uv export --locked --quiet --no-header --no-annotate --no-emit-project "$@"
  }
  prune=""
  if [ -n "$CPU_INDEX" ]; then
    for name in $(sed -nE 's/^name = "(.*)"$/\1/p' uv.lock | sort -u | grep -E "$of_cuda" | grep -v '^nvidia-ml-py$'); do
      prune="$prune --prune $name"
    done
  fi
  # shellcheck disable=SC2086
  export_list --only-group torch $prune --output-file torch.txt
  for image in reward train; do
    extras=$REWARD_EXTRAS
    [ $image = reward ] || extras=$TRAIN_EXTRAS
    # shellcheck disable=SC2046,SC2086
    export_list --no-default-groups $(printf -- '--extra %s ' $extras) $prune --output-file $image.txt
  done
  ;;
torch)
  uv venv /opt/venv
  if [ -n "$CPU_INDEX" ]; then
    uv pip install --no-deps --index-url "$CPU_INDEX" "$(grep -oE '^torch==[^ ]+' /opt/lists/torch.txt)"
  fi
  uv pip install --requirements /opt/lists/torch.txt
  ;;
packages)
  audio=$(grep -oE '^torchaudio==[^ ]+' "/opt/lists/$2.txt") || audio=""
  if [ -n "$CPU_INDEX" ] && [ -n "$audio" ]; then
    uv pip install --no-deps --index-url "$CPU_INDEX" "$audio"
  fi
  uv pip sync "/opt/lists/$2.txt"
  ;;
project)
  uv pip install --no-deps --editable .
  /opt/venv/bin/python -m compileall -q ttsrl
  rm /usr/local/bin/uv
  ;;
esac
