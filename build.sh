#!/usr/bin/env bash
# Builds, tests and shows saltlite. `./build.sh help` lists the verbs; they stand in the table at the end of this file.
# Needs bash, flock and a Python from 3.10 on with a package index in reach: neither pip nor ensurepip.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

# ---- what is pinned ------------------------------------------------------------------------------------------------

# .pack/pins.txt: what saltlite.pyz carries; .pack/tools.txt: what test and lint use besides. The other files of .pack are
# the Python of this script: __main__.py, _unpack.py and _import.py go into saltlite.pyz, pack.py makes it, get_pip.py
# finds a pip.

# pins_for 3.13: one line each, for that Python; pip would ask the Python that it runs on about the markers.
pins_for() {
  sed -e '/^#/d' -e ':again' -e '/\\$/{N;s/\\\n//;b again' -e '}' .pack/pins.txt | awk -v minor="${1#3.}" '
    $2 == ";" {
      bound = substr($5, 4) + 0
      if ($4 == "<" ? minor >= bound : minor < bound) next
      $2 = $3 = $4 = $5 = ""
    }
    { print }'
}

# The Salt releases that `interop` and `bench --vs-salt` run against: the newest of each line that installs from PyPI.
SALTS='3006.28 3007.15 3008.3'

PIP_WHEEL_NAME=pip-26.3-py3-none-any.whl
PIP_WHEEL_HASH=f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13

# ---- tools -----------------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" >&2; }

die() {
  say "build.sh: $*"
  exit 1
}

# The interpreter itself, not a launcher of a version manager, which would be asked again at each start.
find_python() {
  python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable if sys.version_info >= (3, 10) else "")') \
    || die "python3 not found: install it, or name one with PYTHON=…"
  [ -n "$python" ] || die "Python 3.10 or later is needed: name one with PYTHON=…"
  tag=$("$python" -c 'import sys; print(sys.implementation.cache_tag)')
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  target=$("$python" -c 'import importlib.machinery as m; print(m.EXTENSION_SUFFIXES[0].split(".")[1])')
}

# locked FILE COMMAND…: one of its kind at a time; the kernel frees the lock if we die.
locked() (
  exec 9>"$1"
  flock 9
  shift
  "$@" 9>&-
)

hash_of() { sha256sum | cut -c1-16; }

# pip_with PYTHON ARGUMENT…: pip's code, run by any interpreter; so a virtual environment needs no pip of its own.
pip_with() {
  local interpreter=$1
  shift
  [ -d ".build/pip-$tag" ] || "$python" -I .pack/get_pip.py ".build/pip-$tag" "$PIP_WHEEL_NAME" "$PIP_WHEEL_HASH"
  PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore "$interpreter" ".build/pip-$tag/pip" "$@"
}

# ---- wheels and saltlite.pyz -------------------------------------------------------------------------------------------

# download DIRECTORY VERSION OPTION…: the pinned wheels that fit the interpreter, or what the options describe
download() {
  local directory=$1 version=$2
  shift 2
  pins_for "$version" | pip_with "$python" download -qq --require-hashes --no-deps --only-binary=:all: \
    -r /dev/stdin -d "$directory" "$@"
}

download_native() {
  [ -d "$1" ] && return
  say "downloading the wheels for $target"
  rm -rf "$1.part"
  download "$1.part" "$version"
  mv "$1.part" "$1"
}

download_all() {
  [ -d "$1" ] && return
  local version machine jobs=()
  say "downloading the wheels for CPython 3.10-3.14 on x86_64 and aarch64"
  rm -rf "$1.part"
  pip_with "$python" --version >/dev/null
  for version in 3.10 3.11 3.12 3.13 3.14; do
    for machine in x86_64 aarch64; do
      download "$1.part/$version-$machine" "$version" --implementation cp --python-version "$version" \
        --platform "manylinux2014_$machine" --platform "manylinux_2_17_$machine" \
        --platform "manylinux_2_26_$machine" --platform "manylinux_2_28_$machine" &
      jobs+=($!)
    done
  done
  for job in "${jobs[@]}"; do wait "$job"; done
  cp -n "$1.part"/*/*.whl "$1.part/"
  rm -r "$1.part"/*/
  mv "$1.part" "$1"
}

# build native|all [FILE]
build() {
  local kind=${1:-native} output=${2:-saltlite.pyz} wheels targets
  wheels=.build/wheels-$(hash_of <.pack/pins.txt)
  if [ "$kind" = all ]; then
    wheels+=/all targets='CPython 3.10-3.14 on x86_64 and aarch64 with glibc'
  else
    wheels+=/$target targets=$target
  fi
  mkdir -p "${wheels%/*}"
  locked .build/lock "download_$kind" "$wheels"
  "$python" -I .pack/pack.py "$output" "$wheels" "$targets"
}

# ---- virtual environments ----------------------------------------------------------------------------------------------

# The environment of test, lint, interop and bench: the pinned packages of saltlite.pyz and the tools. Prints nothing.
make_venv() {
  venv=$PWD/.build/venv-$tag-$(cat .pack/pins.txt .pack/tools.txt | hash_of)
  locked .build/lock fill_venv
  PATH=$venv/bin:$PATH
  export HYPOTHESIS_STORAGE_DIRECTORY=$PWD/.build/hypothesis
}

fill_venv() {
  [ -e "$venv/complete" ] && return
  say "making $venv"
  "$python" -m venv --clear --without-pip "$venv"
  pins_for "$version" | pip_with "$venv/bin/python" install -qq --require-hashes --no-deps --only-binary=:all: -r /dev/stdin
  pip_with "$venv/bin/python" install -qq -r .pack/tools.txt
  touch "$venv/complete"
}

# Where environments with real Salt are kept between runs and shared by checkouts: several hundred MB, minutes to make.
shared_cache() {
  local base
  for base in "${XDG_CACHE_HOME:-}" "${HOME:+$HOME/.cache}"; do
    if [ -n "$base" ] && mkdir -p "$base/saltlite-build" 2>/dev/null && [ -O "$base/saltlite-build" ] && [ -w "$base/saltlite-build" ]; then
      echo "$base/saltlite-build"
      return
    fi
  done
  mkdir -p .build/salt
  echo "$PWD/.build/salt"
}

# Salt comes as source and does not run on the newest Pythons: take the first of these that there is.
salt_python() {
  local name found
  for name in python3.11 python3.10 python3.12 "$python"; do
    if found=$("$name" -c 'import sys, venv; print(sys.executable)' 2>/dev/null); then
      echo "$found"
      return
    fi
  done
}

# make_salts RELEASE…: sets salt_options to `--salt 3006=DIRECTORY …` of environments with those releases.
make_salts() {
  local cache interpreter release directory jobs=()
  cache=$(shared_cache)
  interpreter=$(salt_python)
  salt_options=()
  pip_with "$python" --version >/dev/null
  for release; do
    directory=$cache/salt-$release-$("$interpreter" -c 'import sys; print(sys.implementation.cache_tag)')
    salt_options+=(--salt "${release%%.*}=$directory")
    locked "$directory.lock" fill_salt "$interpreter" "$directory" "$release" &
    jobs+=($!)
  done
  for job in "${jobs[@]}"; do wait "$job"; done
}

fill_salt() {
  local interpreter=$1 directory=$2 release=$3
  [ -e "$directory/complete" ] && [ -x "$directory/bin/python" ] && return
  say "installing Salt $release into $directory (minutes, once)"
  rm -rf "$directory"
  "$interpreter" -m venv --without-pip "$directory"
  pip_with "$directory/bin/python" install -qq "salt==$release"
  "$directory/bin/salt-master" --version >/dev/null
  mkdir "$directory/root"
  echo "root_dir: $directory/root" >"$directory/root/minion"
  "$directory/bin/salt-call" --local --config-dir="$directory/root" test.ping >/dev/null
  touch "$directory/complete"
}

# ---- verbs -------------------------------------------------------------------------------------------------------------

# types NAME ARGUMENT…: mypy with a cache of that name; of one cache, each set of options throws away what another kept.
types() {
  mypy --cache-dir=".build/mypy/$1" --no-error-summary "${@:2}"
}

lint() {
  make_venv
  local status=0 python_files=(saltlite.py tests etc/salt .pack/*.py)
  ruff check --quiet "${python_files[@]}" || status=1
  ruff format --quiet --diff "${python_files[@]}" || status=1
  # the leaves by their paths, for some have the names of modules of the standard library
  types program --check-untyped-defs --explicit-package-bases --namespace-packages saltlite.py etc/salt || status=1
  types tests tests || status=1
  types start --strict --follow-imports=silent .pack/__main__.py .pack/_unpack.py .pack/_import.py || status=1
  types pack --strict .pack/pack.py .pack/get_pip.py || status=1
  shellcheck build.sh .ci/run || status=1
  [ $status = 0 ] || say 'lint: see above'
  return $status
}

# Byte code is kept here, whatever the environment says of it: without it a sixth of the time goes into compiling.
keep_byte_code() {
  unset PYTHONDONTWRITEBYTECODE
  export PYTHONPYCACHEPREFIX=$PWD/.build/pyc
  rm -rf "$PYTHONPYCACHEPREFIX${TMPDIR:-/tmp}" # of files that earlier tests wrote
}

test_all() {
  local status=0 lint_status=0
  make_venv
  lint >.build/lint.log 2>&1 & # beside the tests, which wait now and then
  keep_byte_code
  # at first one process compiles the tests, for four would do it four times
  [ -d "$PYTHONPYCACHEPREFIX" ] || pytest --collect-only -qq tests >/dev/null || true
  # test_*.py, in the order of tests/conftest.py; the others have verbs of their own
  pytest -n 4 --dist loadfile --no-loadscope-reorder "${@:-tests}" || status=1
  wait $! || lint_status=1
  cat .build/lint.log >&2
  return $((status | lint_status))
}

# The command that runs what people get.
packed() { echo "$python -I $PWD/saltlite.pyz"; }

interop() {
  local salt_options network status=0
  make_venv
  # shellcheck disable=SC2086  # a list of words
  make_salts $SALTS
  build
  if [ $# -eq 0 ]; then
    network & # it waits, for the most part
    network=$!
    PYTHONPATH=$PWD python tests/matchers.py "${salt_options[@]}" || status=1
    python tests/expected/record.py --check "${salt_options[-1]#*=}/bin/python" || status=1 # of the newest
    python tests/functions.py --salt "${salt_options[-1]#*=}/bin/python" || status=1
  fi
  python tests/interop.py --saltlite "$(packed)" "${salt_options[@]}" "$@" || status=1
  [ $# -gt 0 ] || wait "$network" || status=1
  return $status
}

# A minion and its master with a network in between that drops packets; nothing is checked where nobody may make one.
network() {
  local status=0
  PYTHONPATH=$PWD python tests/network.py || status=$?
  [ $status -ne 2 ] || status=0
  return $status
}

bench() {
  local salt_options=() argument
  make_venv
  for argument; do
    [ "$argument" != --vs-salt ] || make_salts "${SALTS##* }"
  done
  build
  python tests/bench.py --saltlite "$(packed)" "${salt_options[@]}" "$@"
}

attack() {
  make_venv
  keep_byte_code # as in the zipapp: a master that compiles what it imports takes long steps
  PYTHONPATH=$PWD python tests/attack.py "$@"
}

picture() {
  make_venv
  PYTHONPATH=$PWD python tests/picture.py "$@"
}

clean() { rm -rf .build saltlite.pyz; }

# ---- the demonstration ---------------------------------------------------------------------------------------------------

demo() {
  # whatever goes into it may have changed; directories count too, for a file may have gone
  [ -e saltlite.pyz ] && [ -z "$(find saltlite.py build.sh .pack etc/salt -newer saltlite.pyz -print -quit)" ] || build
  demo_pids=()
  scratch=$(mktemp -d)
  trap demo_end EXIT
  trap 'exit 130' INT TERM
  pyz=$PWD/saltlite.pyz
  local publish returns name
  saltlite() { "$python" -I "$pyz" "$@"; }
  read -r publish returns < <("$python" - <<'EOF'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(s.getsockname()[1] for s in sockets))
EOF
  )
  cd "$scratch"

  title 'A master and two minions, each with a directory tree of its own'
  printf '    alias saltlite="%s %s"\n    cd %s\n' "$python" "$pyz" "$scratch"
  run 'mkdir -p master/etc/salt web1/etc/salt db1/etc/salt'
  run "printf 'interface: 127.0.0.1\npublish_port: $publish\nret_port: $returns\n' > master/etc/salt/master"
  for name in web1 db1; do
    run "printf 'master: 127.0.0.1\nmaster_port: $returns\nid: $name\n' > $name/etc/salt/minion"
  done
  run "printf 'role: database\n' > db1/etc/salt/grains"
  title '1. Before the start'
  tree

  title '2. After the start: the keys of both minions wait in minions_pre'
  background 'saltlite master -c master/etc/salt'
  await 'the master' 'grep -q ready master.log'
  background 'saltlite minion -c web1/etc/salt'
  background 'saltlite minion -c db1/etc/salt'
  await 'both keys' '[ -e master/etc/salt/pki/master/minions_pre/web1 ] && [ -e master/etc/salt/pki/master/minions_pre/db1 ]'
  tree

  title '3. A key is accepted by moving it'
  run 'mv master/etc/salt/pki/master/minions_pre/* master/etc/salt/pki/master/minions/'
  await 'both minions' 'grep -q connected web1.log && grep -q connected db1.log'
  await "the minions' files" '[ -e web1/etc/salt/minion.d/_schedule.conf ] && [ -e db1/etc/salt/minion.d/_schedule.conf ]'
  tree

  title 'Commands'
  run "saltlite salt -c master/etc/salt '*' test.ping"
  run "saltlite salt -c master/etc/salt '*' cmd.run 'uname -sr; id -un'"
  run "saltlite salt -c master/etc/salt -G 'role:database' grains.get role"

  title 'The last job is a file'
  # shellcheck disable=SC2016  # run evaluates it
  run 'cat "$(ls -t master/var/cache/salt/master/jobs/done/*/*.jsonl | head -n 1)"'

  title 'A key is revoked by moving it; the next command leaves that minion out'
  run 'mv master/etc/salt/pki/master/minions/db1 master/etc/salt/pki/master/minions_rejected/'
  run "saltlite salt -c master/etc/salt '*' test.ping"
}

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }

run() {
  printf '\n    $ %s\n' "$1"
  eval "$1"
}

tree() { run "find */etc -type d -printf '%p/\n' -o -printf '%p\n' | sort"; }

# The log is named after the tree: master.log, web1.log, …
background() {
  local words name=${1#* -c }
  name=${name%%/*}
  printf '\n    $ %s 2> %s.log &\n' "$1" "$name"
  read -ra words <<<"${1#saltlite }"
  "$python" -I "$pyz" "${words[@]}" 2>"$name.log" & # not the function: its process would be a shell
  demo_pids+=($!)
}

await() {
  local tries=1200 # the first start unpacks, which takes its time on a small machine
  until eval "$2"; do
    [ $((tries -= 1)) -gt 0 ] || { tail -n 20 ./*.log >&2; die "demo: waited a minute for $1"; }
    sleep 0.05
  done
}

demo_end() {
  title 'The end: everything stops, the scratch directory goes away'
  [ ${#demo_pids[@]} -eq 0 ] || kill "${demo_pids[@]}" 2>/dev/null || true
  local pid
  for pid in "${demo_pids[@]}"; do
    timeout 5 tail --pid="$pid" -f /dev/null || kill -KILL "$pid"
  done
  rm -rf "$scratch"
}

# ---- the table of verbs ------------------------------------------------------------------------------------------------

help() {
  echo 'Usage: ./build.sh [VERB [ARGUMENT…]]'
  sed -n 's/^    \([a-z]*\)) .* ;; # /  \1\t/p' build.sh | expand -t 12
}

main() {
  local verb=${1:-build}
  [ $# -eq 0 ] || shift
  mkdir -p .build
  export SALTLITE_CACHE=$PWD/.build/cache # whatever runs here leaves the user's alone
  find_python
  case $verb in
    build) build native "$@" ;; # saltlite.pyz, or the FILE named, for this Python; what no verb means
    all) build all "$@" ;; # one saltlite.pyz for CPython 3.10-3.14 on x86_64 and aarch64
    demo) demo ;; # a master and two minions on this machine, every command shown; leaves nothing behind
    test) test_all "$@" ;; # lint and every test; arguments go to pytest
    interop) interop "$@" ;; # with real Salt 3006, 3007 and 3008 on the other side
    bench) bench "$@" ;; # what it does per second and needs; --vs-salt: and real Salt in the same run
    attack) attack "$@" ;; # what strangers and accepted minions can do to a master; --minutes N: for as long
    picture) picture "$@" ;; # tests/salt.svg, the picture of README, from a run
    lint) lint ;; # ruff, mypy, shellcheck
    clean) clean ;; # remove what this script made here
    help) help ;; # this text
    *) help && exit 2 ;;
  esac
}

main "$@"
