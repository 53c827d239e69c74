#!/usr/bin/env bash
# Everything that only a machine with a CUDA device can do: build, tests, sanitizers, benchmarks,
# profiles. No network is used, nothing is installed but into a folder of its own.
#
#   bench/gpu.sh [-o DIR] [-w DIR] [-t SECONDS] [--rehearse]
#
#   -o DIR      results/<date>-<device>.json goes there (bench/results)
#   -w DIR      wheels of packages that this machine lacks, such as pydantic
#   -t SECONDS  for all of it (470)
#   --rehearse  without a GPU: the same steps with tiny sizes on the CPU; those that need CUDA are
#               skipped by name, and what is installed is used as it is
#
# PYTHON names the interpreter (python3); it needs torch, pytest, hypothesis, pybind11, setuptools.
# Every step has a limit of its own, and none depends on another's success. Exit code 1: a step has
# failed or has run out of time.
set -u -o pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2

out=bench/results wheels='' total=470 rehearse='' python=${PYTHON:-python3}
while (($#)); do
  case $1 in
    -o) out=${2:?-o needs a folder} && shift 2 ;;
    -w) wheels=${2:?-w needs a folder} && shift 2 ;;
    -t) total=${2:?-t needs seconds} && shift 2 ;;
    --rehearse) rehearse=1 && shift ;;
    *) sed -n '2,18s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
  esac
done

mkdir -p "$out" || exit 2
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1
# Tools of the toolkit may lie beside the PATH.
PATH=$PATH:/usr/local/cuda/bin:/opt/nvidia/nsight-compute

device=cuda tiny=()
[[ $rehearse ]] && device=cpu tiny=(--tiny --rounds 2)
# The last step merges what the others left, and needs this much.
SECONDS=0 reserve=20
deadline=$((total - reserve))

# step NAME LIMIT COMMAND...: run it, and note what came of it.
# Exit code 77 means skipped; the last line of the output says why, or sums up.
step() {
  local name=$1 limit=$2 begun=$SECONDS code outcome note
  shift 2
  local log=$work/$name.log
  if ((deadline - SECONDS < limit)); then limit=$((deadline - SECONDS)); fi
  if ((limit < 5)); then
    note_outcome "$name" 'out of time' 0 'not begun'
    return
  fi
  timeout --kill-after=5 "$limit" "$@" >"$log" 2>&1
  code=$?
  note=$(grep -v '^[[:space:]]*$' "$log" | tail -n 1 | tr '\t' ' ' | cut -c 1-110)
  case $code in
    0) outcome=ok ;;
    77) outcome=skipped ;;
    124 | 137) outcome=timeout note="after $limit s: $note" ;;
    *) outcome=failed note="exit code $code: $note" ;;
  esac
  if [[ $outcome == failed || $outcome == timeout ]]; then
    {
      printf '\n---- %s: %s, the end of its output:\n' "$name" "$outcome"
      tail -n 40 "$log" | cut -c 1-400
      printf -- '----\n'
    }
    cp "$log" "$out/failed-$name.log"
  fi
  note_outcome "$name" "$outcome" $((SECONDS - begun)) "$note"
}

note_outcome() {
  printf '%s\t%s\t%s\t%s\n' "$@" >>"$work/steps.tsv"
  printf '%-22s %-11s %4s s  %s\n' "$@"
}

skipped() { note_outcome "$1" skipped 0 "$2"; }

has_module() { "$python" -c "import importlib.util as u, sys; sys.exit(not u.find_spec('$1'))"; }

install_wheels() {
  "$python" -m pip install -q --no-index --no-deps --no-cache-dir --upgrade \
    --target "$work/site" "$wheels"/*.whl
}

build() {
  local arch
  arch=$("$python" -c 'import torch; print("%d%d" % torch.cuda.get_device_capability())') || return 1
  FASTPTY_CUDA=1 FASTPTY_CUDA_ARCHS=$arch "$python" setup.py build_ext --inplace || return 1
  "$python" -c 'from fastpty import _core; print(_core.build_info())'
}

tests() {
  local options=(-p no:benchmark -p no:cacheprovider -m gpu -q --tb=short)
  has_module xdist && options+=(-n 4)
  has_module pytest_timeout && options+=(--timeout 60)
  local folders=(tests/gpu tests/ops)
  has_module pydantic && folders+=(tests/constraints)
  "$python" -m pytest "${options[@]}" "${folders[@]}"
}

# In the emulator these tools have only stand-ins: this is the device's own word. Without torch's
# caching, every tensor is an allocation whose borders are watched.
sanitizer() {
  local tool=$1 filter=()
  shift
  if compute-sanitizer --help 2>&1 | grep -q -- '--kernel-name'; then
    filter=(--kernel-name kns=fastpty)
  fi
  PYTORCH_NO_CUDA_MEMORY_CACHING=1 compute-sanitizer --tool "$tool" "${filter[@]}" \
    --error-exitcode 9 --report-api-errors no --launch-timeout 120 --print-limit 20 \
    "$python" -m bench.gpu.small_shapes "$@"
}

profile() {
  local window=$1
  shift
  local command=(ncu --csv --log-file "$work/ncu-$window.csv" --profile-from-start off
    --clock-control none --kernel-name-base demangled --kernel-name 'regex:fastpty'
    --launch-count 24 --target-processes all
    --section SpeedOfLight --section LaunchStats --section Occupancy)
  local more=smsp__inst_executed.sum,l1tex__data_bank_conflicts_pipe_lsu.sum
  local target=("$python" -m bench.gpu.one_call --window "$window" "$@")
  "${command[@]}" --metrics "$more" "${target[@]}"
  # A metric that this ncu does not know leaves nothing at all.
  if ! grep -q '^"ID"' "$work/ncu-$window.csv"; then "${command[@]}" "${target[@]}"; fi
  echo "$(grep -c '^"' "$work/ncu-$window.csv") lines"
  grep -q '^"ID"' "$work/ncu-$window.csv"
}

ptyrad() {
  if ! has_module ptyrad; then
    echo 'no module ptyrad'
    return 77
  fi
  "$python" -m bench.peers.ptyrad --rounds 2
}

# `timeout` runs programs, not functions: these are called through a shell of their own.
export -f has_module install_wheels build tests sanitizer profile ptyrad
export work wheels python
in_shell=(bash -c '"$@"' bash)

cuda=$("$python" -c 'import torch; print(int(torch.cuda.is_available()))' 2>/dev/null)
if [[ $cuda != 1 && ! $rehearse ]]; then
  echo 'bench/gpu.sh: torch finds no CUDA device; --rehearse tries the script without one' >&2
  exit 2
fi
no_cuda='no CUDA device'

if [[ $wheels ]]; then
  step wheels 60 "${in_shell[@]}" install_wheels
  export PYTHONPATH=$PYTHONPATH:$work/site
fi
if [[ $rehearse ]]; then
  skipped build "$no_cuda"
else
  step build 200 "${in_shell[@]}" build
fi
step tests 150 "${in_shell[@]}" tests
step ceilings 60 "$python" -m bench.gpu.ceilings -o "$work/1-ceilings.json" --device "$device"
step kernels 120 "$python" -m bench.gpu.kernels -o "$work/2-kernels.json" --device "$device" \
  "${tiny[@]}"
step iteration 90 "$python" -m bench.gpu.iteration -o "$work/3-iteration.json" \
  --device "$device" "${tiny[@]}"
if [[ $rehearse ]]; then
  step small_shapes 60 "$python" -m bench.gpu.small_shapes --device cpu --quick
  for name in memcheck racecheck synccheck ncu-128 ncu-256; do skipped "$name" "$no_cuda"; done
else
  # At once: each keeps one core busy and the device hardly. What they say is no timing.
  step memcheck 100 "${in_shell[@]}" sanitizer memcheck &
  step racecheck 100 "${in_shell[@]}" sanitizer racecheck --quick &
  step synccheck 100 "${in_shell[@]}" sanitizer synccheck &
  wait
  step ncu-128 60 "${in_shell[@]}" profile 128
  step ncu-256 60 "${in_shell[@]}" profile 256 --positions 8
fi
step ptyrad 60 "${in_shell[@]}" ptyrad

echo
timeout --kill-after=5 "$reserve" "$python" -m bench.gpu.collect "$work" -o "$out" \
  --device "$device" || { cp "$work"/*.json "$work/steps.tsv" "$out"; exit 1; }
awk -F '\t' '$2 != "ok" && $2 != "skipped" { bad = 1 } END { exit bad }' "$work/steps.tsv"
