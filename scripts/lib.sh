# shellcheck shell=bash
# What every script here shares: the repository's root, one .venv that is set up once, and the static checks.
# Source it: `source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"`. It moves to the root, so that `python -m` finds the rooms.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
PYTHON_IN_VENV=$VENV/bin/python
STAMP=$VENV/.ridgeline-installed
cd "$ROOT" || exit
# Where bytecode is not kept, as in many containers, each of the processes that a run starts would compile all of ours again.
unset PYTHONDONTWRITEBYTECODE

say() { printf '%s\n' "$*" >&2; }

fail() {
  say "$@"
  exit 1
}

# ensure_venv EXTRAS: .venv holds the project with these extras (comma-separated, as in `worker,embedded`), at the versions
# of constraints.txt. Costs nothing when it does already; otherwise installs, once for all scripts started meanwhile.
ensure_venv() {
  local extras=$1
  # A linked .venv belongs to another checkout: installing here would point that one's packages at this one.
  if [[ -L $VENV ]]; then
    [[ -x $PYTHON_IN_VENV ]] || fail ".venv is a link to $(readlink "$VENV"), which has no Python; remove the link to have one made here"
    return
  fi
  _is_installed "$extras" && return
  # The lock is on a file that is always there; it goes when the last process that holds it ends, however it ends.
  (
    _lock
    _is_installed "$extras" || _install "$extras"
  ) 9<"$ROOT/pyproject.toml" || exit
}

# Format, lint and types: the checks that need no running part. The import rules are a test (tests/test_rooms.py).
check_statically() {
  local python_scripts
  mapfile -t python_scripts < <(grep -lE '^#!.*python' scripts/*)
  step format "$PYTHON_IN_VENV" -m ruff format --check --quiet . "${python_scripts[@]}"
  step lint "$PYTHON_IN_VENV" -m ruff check --quiet . "${python_scripts[@]}"
  step types "$PYTHON_IN_VENV" -m mypy --no-error-summary
}

# step NAME COMMAND...: stops the script if the command fails, and says which step that was.
step() {
  local name=$1
  shift
  "$@" || fail "$name: failed. Again: $(_shorten "$@")"
  say "$name: ok"
}

_shorten() { printf '%s ' "${@//"$ROOT/"/}"; }

# The stamp holds what was installed: a fingerprint of the requirements and the extras.
_is_installed() {
  local fingerprint extras wanted
  [[ -x $PYTHON_IN_VENV && -r $STAMP ]] || return
  read -r fingerprint extras <"$STAMP"
  [[ $fingerprint == "$(_fingerprint)" ]] || return
  for wanted in ${1//,/ }; do
    [[ ,$extras, == *,$wanted,* ]] || return
  done
}

# The root and the interpreter count too: a moved checkout and an upgraded Python both leave a .venv that points elsewhere.
_fingerprint() {
  { cat pyproject.toml constraints.txt "$VENV/pyvenv.cfg" && echo "$ROOT"; } | sha256sum | cut -d ' ' -f 1
}

_lock() {
  command -v flock >/dev/null || return 0
  flock --nonblock 9 && return
  say "Another script is setting up .venv; waiting for it."
  flock 9
}

_install() {
  local extras=$1 log=$VENV/ridgeline-install.log
  _has_pip "$PYTHON_IN_VENV" || _make_venv
  say "Installing Ridgeline into .venv ($("$PYTHON_IN_VENV" --version); ${extras//,/, }). The first time takes minutes and 6 GB."
  rm -f "$STAMP"
  if ! "$PYTHON_IN_VENV" -m pip install --no-input --no-compile --disable-pip-version-check -c constraints.txt -e ".[$extras]" </dev/null >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    fail "pip could not install Ridgeline; the whole log is $log. Run this again to go on from here."
  fi
  # pip would compile on one core, for a third of the whole time. Some packages ship files that do not compile: nothing imports those.
  "$PYTHON_IN_VENV" -m compileall -q -j 0 "$VENV"/lib/python3*/site-packages </dev/null >>"$log" 2>&1 || true
  printf '%s %s\n' "$(_fingerprint)" "$extras" >"$STAMP.new" && mv "$STAMP.new" "$STAMP"
}

# Also the way out of a .venv whose making was interrupted, or whose Python is gone: nothing in it is worth keeping.
_make_venv() {
  local python
  python=$(_find_python) || exit
  "$python" -m venv --clear "$VENV" || fail "$python could not make $VENV; see the message above"
}

# The first Python that is new enough, 3.11 first because the versions in constraints.txt were tested with it.
_find_python() {
  local name old=""
  for name in ${PYTHON:-python3.11 python3.12 python3.13 python3}; do
    "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    "$name" -c 'import venv, ensurepip' 2>/dev/null && echo "$name" && return
    old=$name
  done
  [[ -z $old ]] || fail "$old has no venv and pip; on Debian and Ubuntu: apt-get install python3-venv"
  fail "Ridgeline needs Python 3.11 or newer and found none; install one (Debian 12: apt-get install python3 python3-venv) or name it: PYTHON=/path/to/python3.12"
}

_has_pip() { "$1" -c 'import pip' 2>/dev/null; }
