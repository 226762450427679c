#!/usr/bin/env bash
# Sets up the project in .venv inside the checkout; see `bash setup.sh --help`.
# Works with bash 3.2 (macOS): no associative arrays, no empty arrays under `set -u`.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: bash setup.sh cpu|t4_gpu [options]

  cpu      PyTorch for CPUs (also for Apple silicon, including its GPU), and OpenVINO, which runs the networks
           several times as fast on a CPU (the extra `fast`)
  t4_gpu   PyTorch with CUDA, for an NVIDIA T4 or newer

  --yes             answer yes to questions about packages, but never to one that needs root
  --demo            then track a generated clip: outputs/demo.{mp4,jpg,json}
  --test            also install the test packages, then run all checks and tests (about 10 minutes on 2 cores)
  --quick-test      the same without the slow tests (about a minute)
  --extras a,b      also install these extras of pyproject.toml; later calls add to earlier ones
  --dinov3-stable   install the released transformers (the default)
  --dinov3-edge     install transformers from its repository, for a model that the release does not support
  --dry-run         print every command without running it
  --help            show this help and exit

environment:
  TORCH_CHANNEL     PyTorch wheel channel: cpu, cu126, cu128, … (default: cpu, or cu126 for t4_gpu)
  PYTHON            interpreter, 3.10 to 3.13 (default: the newest of these that runs)

Everything is installed into .venv; nothing outside the checkout is changed. A matching .venv is reused.
TEXT
}

PYTORCH_INDEX="https://download.pytorch.org/whl"
TRANSFORMERS_HOST="https://github.com"
TRANSFORMERS_EDGE="git+$TRANSFORMERS_HOST/huggingface/transformers"
PROBE_SECONDS=5
# Works with drivers from 2022 on and supports the T4 (sm_75). PyTorch publishes it up to 2.14; from 2.15 on there is
# only CUDA 13, which also supports the T4 but requires driver 580 or later: TORCH_CHANNEL=cu130.
DEFAULT_CUDA_CHANNEL="cu126"
SUPPORTED="3.10 to 3.13"

CALLER_DIR="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")"
ROOT="$(pwd -P)"
VENV_PYTHON=".venv/bin/python"
STAMP=".venv/mot-dinov3.stamp"

# ------------------------------------------------------------------ messages

say() { printf '%s\n' "$*"; }

die() { # message, exit code
  printf 'setup.sh: %s\n' "$1" >&2
  exit "${2:-1}"
}

quoted() { # the arguments, quoted for a shell
  local word out=""
  for word in "$@"; do
    case "$word" in
      *[!A-Za-z0-9_./:=,+@-]*) word="'$word'" ;;
    esac
    out="$out $word"
  done
  printf '%s' "${out# }"
}

run() { # print a command, then run it unless this is a dry run
  say "+ $(quoted "$@")"
  [ "$DRY_RUN" = 1 ] || "$@"
}

confirm() { # asks a question about packages; --yes answers it
  [ "$YES" = 1 ] || [ "$DRY_RUN" = 1 ] && return 0
  [ -t 0 ] || die "$1 There is no terminal to answer on: run again with --yes." 2
  local answer
  read -r -p "$1 [y/N] " answer
  case "$answer" in
    y | Y | yes | Yes) ;;
    *) die "stopped, nothing was changed" ;;
  esac
}

needs_root() { # reason, Debian packages: asks on a terminal only, and --yes does not answer it
  local why="$1" sudo="" answer=""
  shift
  [ "$(id -u)" = 0 ] || sudo="sudo "
  say "$why" >&2
  command -v apt-get >/dev/null 2>&1 || die "install it with your system's package manager, then run setup.sh again"
  if [ -t 0 ]; then
    read -r -p "Run '${sudo}apt-get install -y $*' as root? [y/N] " answer
  fi
  case "$answer" in
    y | Y | yes | Yes) run ${sudo:+sudo} apt-get install -y "$@" ;;
    *) die "run this as root, then setup.sh again: ${sudo}apt-get update && ${sudo}apt-get install -y $*" ;;
  esac
}

# ------------------------------------------------------------------ arguments

has() { # has LIST WORD: is WORD in the comma-separated LIST?
  case ",$1," in *",$2,"*) return 0 ;; esac
  return 1
}

known_extras() { # names of the optional parts in pyproject.toml, comma-separated
  sed -n '/^\[project.optional-dependencies\]/,/^\[project.scripts\]/s/^\([a-z][a-z0-9_-]*\) = \[.*/\1/p' pyproject.toml |
    paste -s -d , -
}

requirement() { # the requirement of a package in pyproject.toml, so that version bounds stand in one place
  sed -n "s/^ *\"\($1[<>=!~][^\"]*\)\".*/\1/p" pyproject.toml | head -n 1
}

add_extras() {
  local name valid
  valid="$(known_extras)"
  for name in $(printf '%s' "$1" | tr ',' ' '); do
    has "$valid" "$name" || die "unknown extra '$name'; valid: $valid" 2
    has "$EXTRAS" "$name" || EXTRAS="${EXTRAS:+$EXTRAS,}$name"
  done
}

parse() {
  TARGET="" YES=0 DEMO=0 TEST="" DRY_RUN=0 EXTRAS="" TRANSFORMERS=""
  while [ $# -gt 0 ]; do
    case "$1" in
      cpu | t4_gpu)
        [ -z "$TARGET" ] || [ "$TARGET" = "$1" ] || die "cpu or t4_gpu, not both" 2
        TARGET="$1"
        ;;
      --yes) YES=1 ;;
      --demo) DEMO=1 ;;
      --test) TEST=all && add_extras test ;;
      --quick-test) TEST="${TEST:-quick}" && add_extras test ;;
      --extras)
        [ $# -ge 2 ] || die "--extras requires names; valid: $(known_extras)" 2
        add_extras "$2" && shift
        ;;
      --extras=*) add_extras "${1#--extras=}" ;;
      --dinov3-stable | --dinov3-edge)
        [ -z "$TRANSFORMERS" ] || [ "$TRANSFORMERS" = "${1#--dinov3-}" ] || die "--dinov3-stable or --dinov3-edge, not both" 2
        TRANSFORMERS="${1#--dinov3-}"
        ;;
      --dry-run) DRY_RUN=1 ;;
      -h | --help) usage && exit 0 ;;
      *) usage >&2 && die "unknown argument '$1'" 2 ;;
    esac
    shift
  done
  [ -n "$TARGET" ] || { usage >&2 && die "choose a target: cpu or t4_gpu" 2; }
  [ "$TARGET" != cpu ] || add_extras fast
  CHANNEL="${TORCH_CHANNEL:-}"
  case "$CHANNEL" in
    *[!A-Za-z0-9._/-]*) die "TORCH_CHANNEL '$CHANNEL' is not a valid channel, such as cpu or cu126" 2 ;;
  esac
  if [ "$TARGET" = t4_gpu ] && [ "$(uname -s)" = Darwin ] && [ "$DRY_RUN" = 0 ]; then
    die "there is no CUDA on macOS; use: bash setup.sh cpu" 2
  fi
}

# ------------------------------------------------------------------ environment

confine() { # keeps files of pip and the imported libraries inside the checkout
  unset PIP_USER PIP_TARGET PIP_PREFIX PYTHONHOME PYTHONPATH
  [ -n "${PIP_CACHE_DIR:-}" ] || export PIP_NO_CACHE_DIR=1
  export PIP_DISABLE_PIP_VERSION_CHECK=1
  export YOLO_CONFIG_DIR="$ROOT/.venv/.config" MPLCONFIGDIR="$ROOT/.venv/.config"
}

minor_version() { # 3.11 for an interpreter that runs and is supported
  "$1" -c 'import sys
v = sys.version_info[:2]
print("%d.%d" % v)
sys.exit(not (3, 10) <= v <= (3, 13))' 2>/dev/null
}

choose_python() { # sets PYTHON_BIN; runs each candidate, since a name on the PATH may be a shim without a target
  local name
  if [ -n "${PYTHON:-}" ]; then
    PYTHON_BIN="$PYTHON"
    case "$PYTHON" in
      /*) ;;
      */*) PYTHON_BIN="$CALLER_DIR/$PYTHON" ;;
    esac
    minor_version "$PYTHON_BIN" >/dev/null || die "PYTHON=$PYTHON does not run, or is not Python $SUPPORTED"
    return
  fi
  for name in python3.13 python3.12 python3.11 python3.10 python3 python; do
    PYTHON_BIN="$(command -v "$name" || true)"
    if [ -n "$PYTHON_BIN" ] && minor_version "$PYTHON_BIN" >/dev/null; then return; fi
  done
  die "no Python $SUPPORTED found; install one, or set its path: PYTHON=/path/to/python bash setup.sh $TARGET"
}

reachable() { # true if the URL responds within PROBE_SECONDS
  if command -v curl >/dev/null 2>&1; then
    curl -fsSL --max-time "$PROBE_SECONDS" -o /dev/null "$1" 2>/dev/null
  else
    "$PYTHON_BIN" -c 'import signal, sys, urllib.request
signal.alarm(int(sys.argv[2]))
urllib.request.urlopen(sys.argv[1])' "$1" "$PROBE_SECONDS" 2>/dev/null
  fi
}

check_edge() { # before anything is installed, and within seconds
  [ "$TRANSFORMERS" = edge ] || return 0
  [ "$DRY_RUN" = 1 ] && return 0
  command -v git >/dev/null 2>&1 || die "--dinov3-edge needs git"
  reachable "$TRANSFORMERS_HOST" ||
    die "--dinov3-edge: $TRANSFORMERS_HOST cannot be reached from here; use --dinov3-stable, or an open model"
}

# ------------------------------------------------------------------ .venv

stamp() { # what the .venv holds, one fact a line; $1 = extras, $2 = stable or edge
  local version
  version="$(minor_version "$VENV_PYTHON")"
  printf 'root=%s\npython=%s\nproject=%s\nextras=%s\ntransformers=%s\n' \
    "$ROOT" "$version" "$(sed '/^\[tool\./,$d' pyproject.toml | cat - constraints.txt | cksum)" "$1" "$2"
}

stamped() { # the value of one fact, empty where unknown
  [ ! -f "$STAMP" ] || sed -n "s/^$1=//p" "$STAMP"
}

recall() { # adds the extras of earlier calls, and keeps their transformers unless another is requested
  local name valid
  valid="$(known_extras)"
  WANTED_EXTRAS="$EXTRAS"
  for name in $(stamped extras | tr ',' ' '); do
    has "$WANTED_EXTRAS" "$name" || ! has "$valid" "$name" || WANTED_EXTRAS="${WANTED_EXTRAS:+$WANTED_EXTRAS,}$name"
  done
  WANTED_EXTRAS="$(printf '%s' "$WANTED_EXTRAS" | tr ',' '\n' | sort | paste -s -d , -)"
  [ -n "$TRANSFORMERS" ] || TRANSFORMERS="$(stamped transformers)"
  [ -n "$TRANSFORMERS" ] || TRANSFORMERS=stable
}

is_complete() { # true if the stamp of .venv matches the request
  [ -f "$STAMP" ] && [ -x "$VENV_PYTHON" ] && [ "$(stamp "$WANTED_EXTRAS" "$TRANSFORMERS")" = "$(cat "$STAMP")" ]
}

usable_venv() { # runs, is supported, was made here, and is of the version PYTHON names
  local version made_at
  version="$(minor_version "$VENV_PYTHON")" || return 1
  made_at="$(stamped root)"
  [ -z "$made_at" ] || [ "$made_at" = "$ROOT" ] || return 1
  [ -z "${PYTHON:-}" ] || [ "$version" = "$(minor_version "$PYTHON_BIN")" ]
}

make_venv() {
  if [ -e .venv ] && ! usable_venv; then
    confirm "The .venv here is broken, was moved, or belongs to another Python. Delete and recreate it?"
    run rm -rf .venv
  fi
  if [ ! -e .venv ] || [ "$DRY_RUN" = 1 ]; then
    "$PYTHON_BIN" -c 'import ensurepip, venv' 2>/dev/null ||
      needs_root "$PYTHON_BIN lacks the venv module." "python$(minor_version "$PYTHON_BIN")-venv"
    run "$PYTHON_BIN" -m venv .venv
  fi
  [ "$DRY_RUN" = 1 ] && return
  # `uv sync` makes a .venv without pip
  "$VENV_PYTHON" -m pip --version >/dev/null 2>&1 || run "$VENV_PYTHON" -m ensurepip
}

# ------------------------------------------------------------------ packages

choose_torch_index() { # sets TORCH_INDEX, empty for the default index
  local channel="$CHANNEL"
  TORCH_INDEX=""
  if [ -z "$channel" ]; then
    # macOS wheels are the same everywhere
    [ "$(uname -s)" != Darwin ] || [ "$TARGET" != cpu ] || return 0
    if [ "$TARGET" = cpu ]; then channel=cpu; else channel="$DEFAULT_CUDA_CHANNEL"; fi
  fi
  if [ "$DRY_RUN" = 1 ] || reachable "$PYTORCH_INDEX/$channel/"; then
    TORCH_INDEX="$PYTORCH_INDEX/$channel"
  elif [ -n "$CHANNEL" ]; then
    die "TORCH_CHANNEL=$CHANNEL: $PYTORCH_INDEX/$CHANNEL/ cannot be reached or does not exist; unset it for the default"
  elif [ "$TARGET" = cpu ]; then
    say "PyTorch's CPU wheels cannot be reached within $PROBE_SECONDS s: using the default index (a larger CUDA build, which runs on the CPU)"
  else
    say "PyTorch's $channel wheels cannot be reached within $PROBE_SECONDS s: using the default index (its CUDA may require a newer driver)"
  fi
}

install_pair() { # torch and torchvision in one call and from one place, so that they match
  if [ -n "$TORCH_INDEX" ]; then
    run "$VENV_PYTHON" -m pip install --index-url "$TORCH_INDEX" "$(requirement torch)" "$(requirement torchvision)"
  else
    run "$VENV_PYTHON" -m pip install "$(requirement torch)" "$(requirement torchvision)"
  fi
  if [ "$DRY_RUN" = 1 ] && [ -n "$TORCH_INDEX" ] && [ -z "$CHANNEL" ]; then
    say "# or, where that index cannot be reached within $PROBE_SECONDS s:"
    say "# + $(quoted "$VENV_PYTHON" -m pip install "$(requirement torch)" "$(requirement torchvision)")"
  fi
}

pin_pair() { # so that later installations cannot replace one of the pair
  run "$VENV_PYTHON" -c 'import importlib.metadata as m, pathlib, sys
pathlib.Path(sys.argv[1]).write_text("".join(f"{n}=={m.version(n)}\n" for n in sys.argv[2:]))' \
    .venv/torch-pair.txt torch torchvision
}

install_project() {
  # LiteRT's converter has version bounds that may conflict with constraints.txt
  local tested="-c constraints.txt"
  if has "$WANTED_EXTRAS" tflite; then tested=""; fi
  # shellcheck disable=SC2086 # two words or none
  run "$VENV_PYTHON" -m pip install -c .venv/torch-pair.txt $tested -e ".${WANTED_EXTRAS:+[$WANTED_EXTRAS]}"
  if [ "$TRANSFORMERS" = edge ]; then
    run "$VENV_PYTHON" -m pip install -c .venv/torch-pair.txt "$TRANSFORMERS_EDGE"
  elif [ "$(stamped transformers)" = edge ]; then
    run "$VENV_PYTHON" -m pip install -c .venv/torch-pair.txt --force-reinstall --no-deps "$(requirement transformers)"
  fi
}

PAIR_BROKEN=3
WRONG_BUILD=4
SYSTEM_LIBRARY=5

verify() { # import everything and print versions; $1 = all, or pair for torch and torchvision only
  "$VENV_PYTHON" - "$1" "$TARGET" "$CHANNEL" <<'PYTHON'
import importlib
import sys

scope, target, channel = sys.argv[1:]
channel = channel.rpartition("/")[2]
versions = {}
try:
    import torch
    import torchvision

    device = "cuda" if torch.cuda.is_available() else "cpu"
    box = torch.tensor([[0.0, 0.0, 1.0, 1.0]], device=device)
    torchvision.ops.nms(box, torch.ones(1, device=device), 0.5)
except Exception as error:  # whatever a half-installed library raises
    print(f"torch and torchvision do not work together: {error}", file=sys.stderr)
    sys.exit(3)
build = "cpu"
if torch.version.cuda:
    build = "cu" + torch.version.cuda.replace(".", "")
elif getattr(torch.version, "hip", None):
    build = "rocm" + ".".join(torch.version.hip.split(".")[:2])
if (channel and build != channel) or (target == "t4_gpu" and build == "cpu"):
    print(f"torch is a build for {build}, required: {channel or 'CUDA'}", file=sys.stderr)
    sys.exit(4)
if scope == "pair":
    sys.exit(0)
versions["torch"] = f"{torch.__version__} ({build}, runs on {device})"
versions["torchvision"] = torchvision.__version__
for name in ("cv2", "av", "transformers", "ultralytics", "mot_dinov3"):
    try:
        versions[name] = importlib.import_module(name).__version__
    except Exception as error:
        print(f"{name} cannot be imported: {error}", file=sys.stderr)
        sys.exit(5 if ".so" in str(error) and name == "cv2" else 1)
print("python       " + sys.version.split()[0])
for name, version in versions.items():
    print(f"{name:<12} {version}")
if target == "t4_gpu" and device == "cpu":
    print("note: no NVIDIA GPU is available (nvidia-smi shows driver and GPU); the CPU will be used")
PYTHON
}

install() {
  local old=0 pair=0
  if [ "$DRY_RUN" = 0 ] && usable_venv; then
    old=1
    if verify pair 2>/dev/null; then pair=1; fi
  fi
  # first, since it may end the run: nothing has been changed yet
  [ "$pair" = 1 ] || choose_torch_index
  make_venv
  if [ "$pair" = 0 ]; then
    # replaced together: a mismatched pair does not work
    [ "$old" = 0 ] || run "$VENV_PYTHON" -m pip uninstall -q -y torch torchvision
    install_pair
  fi
  pin_pair
  install_project
  [ "$DRY_RUN" = 1 ] || stamp "$WANTED_EXTRAS" "$TRANSFORMERS" >"$STAMP"
}

check() { # last step: imports everything, or reports what fails
  local code=0
  if [ "$DRY_RUN" = 1 ]; then
    say "+ $VENV_PYTHON - # imports torch, torchvision, cv2, av, transformers, ultralytics; prints their versions"
    return
  fi
  verify all || code=$?
  case "$code" in
    0) return ;;
    "$SYSTEM_LIBRARY") needs_root "OpenCV requires a missing system library." libgl1 libglib2.0-0 ;;
    "$PAIR_BROKEN" | "$WRONG_BUILD") say "reinstalling torch and torchvision once" && install ;;
  esac
  verify all || { rm -f "$STAMP" && die "the .venv is not usable, see above; bash clean.sh, then run setup.sh again"; }
}

# ------------------------------------------------------------------ demo and checks

check_types() { # numpy describes its arrays' types anew in each release; the code follows those from 2.3 on
  if [ "$DRY_RUN" = 1 ] || "$VENV_PYTHON" -c 'import numpy; raise SystemExit(tuple(map(int, numpy.__version__.split(".")[:2])) < (2, 3))'; then
    run "$VENV_PYTHON" -m mypy
  else
    say "skipping mypy: numpy 2.3 is not available for this Python"
  fi
}

run_checks() { # the one list of checks; pytest last, so that its summary ends the output
  run "$VENV_PYTHON" -m ruff check .
  run "$VENV_PYTHON" -m ruff format --check .
  check_types
  run .venv/bin/lint-imports
  # neither the user's tokens and settings get into the tests, nor what libraries note down out of them
  export HOME="$ROOT/.venv/.home" XDG_CACHE_HOME="$ROOT/.venv/.home/.cache"
  [ "$DRY_RUN" = 1 ] || mkdir -p "$HOME"
  # one thread each: the two workers would fight for the cores
  export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
  if [ "$TEST" = quick ]; then
    run "$VENV_PYTHON" -m pytest -n 2 -m "not slow"
  else
    run "$VENV_PYTHON" -m pytest -n 2
  fi
}

main() {
  parse "$@"
  confine
  choose_python
  check_edge
  recall
  if is_complete && { [ -z "${PYTHON:-}" ] || usable_venv; } && { [ "$DRY_RUN" = 1 ] || verify all; }; then
    say "reusing .venv"
  else
    confirm "Install PyTorch, transformers, ultralytics and their dependencies into .venv (2 to 7 GB)?"
    install
    check
  fi
  if [ "$DEMO" = 1 ]; then run "$VENV_PYTHON" cli.py demo; fi
  if [ -n "$TEST" ]; then run_checks; fi
  if [ "$DEMO$TEST" = 0 ]; then say "ready: . .venv/bin/activate, then: python cli.py --help"; fi
}

main "$@"
