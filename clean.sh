#!/usr/bin/env bash
# Removes .venv and the caches of the tools; keeps outputs/, data/, models/ and .env.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: bash clean.sh [--keep-venv] [--dry-run] [--help]

Removes .venv, caches and build folders of this checkout. Keeps outputs/, data/, models/ and .env.
TEXT
}

KEEP_VENV=0 DRY_RUN=0
for argument in "$@"; do
  case "$argument" in
    --keep-venv) KEEP_VENV=1 ;;
    --dry-run) DRY_RUN=1 ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && printf "clean.sh: unknown argument '%s'\n" "$argument" >&2 && exit 2 ;;
  esac
done
cd "$(dirname "${BASH_SOURCE[0]}")"

remove() {
  [ -e "$1" ] || [ -L "$1" ] || return 0
  printf 'remove %s\n' "$1"
  [ "$DRY_RUN" = 1 ] || rm -rf -- "$1"
}

[ "$KEEP_VENV" = 1 ] || remove .venv
for path in .pytest_cache .ruff_cache .mypy_cache .import_linter_cache .hypothesis build dist; do
  remove "$path"
done
find . \( -path ./.git -o -path ./.venv -o -path ./outputs -o -path ./data -o -path ./models \) -prune -o \
  -type d \( -name __pycache__ -o -name '*.egg-info' \) -prune -print |
  while IFS= read -r path; do remove "$path"; done
