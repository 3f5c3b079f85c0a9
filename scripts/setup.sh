# shellcheck shell=sh
# Sourced by ./run and ./test from the checkout's root: makes sure of Python, Debian's packages
# and a virtual environment. Everything it keeps lies under $GEOMILL_HOME.

say() { printf '%s\n' "geomill: $*"; }

die() {
    printf '%s\n' "geomill: $*" >&2
    exit 1
}

# Settle GEOMILL_HOME and see that it can be written. As root it must be reachable for the user
# 'postgres', hence the umask.
prepare_home() {
    if [ -z "${GEOMILL_HOME:-}" ]; then
        if [ "$(id -u)" -eq 0 ]; then
            GEOMILL_HOME=/var/lib/geomill
        else
            GEOMILL_HOME=${XDG_DATA_HOME:-${HOME:?is not set; set it or GEOMILL_HOME}/.local/share}/geomill
        fi
    fi
    case $GEOMILL_HOME in
    /*) ;;
    *) GEOMILL_HOME=$started_in/$GEOMILL_HOME ;;
    esac
    (umask 022 && mkdir -p "$GEOMILL_HOME/log" "$GEOMILL_HOME/cache") 2>/dev/null ||
        die "$GEOMILL_HOME cannot be written. Set GEOMILL_HOME to a directory this user may write."
    [ -w "$GEOMILL_HOME" ] && [ -w "$GEOMILL_HOME/log" ] ||
        die "$GEOMILL_HOME belongs to another user. Set GEOMILL_HOME to a directory of your own."
    setup_log=$GEOMILL_HOME/log/setup.log
    PYTHONPYCACHEPREFIX=$GEOMILL_HOME/cache/pycache
    export GEOMILL_HOME PYTHONPYCACHEPREFIX
}

# need_disk MB: only asked for when something is about to be installed.
need_disk() {
    free_mb=$(df -Pk "$GEOMILL_HOME" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "$free_mb" -ge "$1" ] ||
        die "Only $free_mb MB are free under $GEOMILL_HOME and $1 MB are needed. Free some space, or set GEOMILL_HOME to a directory on a larger disk."
}

# as_root COMMAND...: needs root_prefix, which find_root settles.
find_root() {
    if [ "$(id -u)" -eq 0 ]; then
        root_prefix=
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        root_prefix='sudo -n'
    elif command -v sudo >/dev/null 2>&1 && [ -t 0 ]; then
        root_prefix=sudo
    else
        die "These packages are missing and this user may not install them: $*. As root, run: apt-get update && apt-get install --no-install-recommends $*"
    fi
}

apt() {
    # shellcheck disable=SC2086 # root_prefix is none, one or two words
    $root_prefix env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Options::=--force-confold \
        -o DPkg::Lock::Timeout=120 "$@" >>"$setup_log" 2>&1
}

# PostgreSQL's package would make and start a cluster of its own; geomill brings a private one.
no_main_cluster() {
    configuration=/etc/postgresql-common/createcluster.conf
    [ -e "$configuration" ] && return 0
    # shellcheck disable=SC2086
    $root_prefix mkdir -p /etc/postgresql-common &&
        echo 'create_main_cluster = false' | $root_prefix tee "$configuration" >/dev/null
}

# install_packages PACKAGE...
install_packages() {
    [ $# -gt 0 ] || return 0
    command -v apt-get >/dev/null 2>&1 ||
        die "These packages are missing and there is no apt-get to install them: $*. Install their like by hand, or use Debian 12."
    find_root "$@"
    need_disk 2048
    say "installing $* (log: $setup_log)"
    apt update || say "the package lists could not all be refreshed; trying with those at hand"
    case " $* " in *" postgresql-"*) no_main_cluster ;; esac
    if ! apt install -y --no-install-recommends "$@"; then
        tail -n 15 "$setup_log" >&2
        die "apt-get could not install $*. Mend what it says above (the whole log is $setup_log), then start again."
    fi
}

postgresql_missing() {
    [ ! -x /usr/lib/postgresql/15/bin/initdb ] ||
        [ ! -e /usr/share/postgresql/15/extension/postgis.control ]
}

python_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    python=
    for candidate in python3 python3.11 python3.12 python3.13; do
        if command -v "$candidate" >/dev/null 2>&1 && python_new_enough "$candidate"; then
            python=$candidate
            return 0
        fi
    done
    return 1
}

# A python3 that is not Debian's may carry venv and ensurepip, or may lack them for good.
python_makes_environments() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

# need_machine PACKAGE...: the packages of the caller that are missing, and Python's.
need_machine() {
    if find_python; then
        python_makes_environments || set -- "$@" python3-venv
    else
        set -- "$@" python3 python3-venv
    fi
    install_packages "$@"
    find_python ||
        die "Python 3.11 or newer is needed and none was found. Install it (Debian 12 has it as python3), then start again."
    python_makes_environments ||
        die "$(command -v "$python") cannot make virtual environments (no ensurepip). Put Debian's /usr/bin first in PATH, or install that Python's venv."
}

# need_venv DIRECTORY LOCKFILE: a virtual environment with exactly what the lock file names.
need_venv() {
    venv=$1
    stamp=$venv/geomill.stamp
    wanted=$(
        sha256sum "$2"
        pwd
        "$python" -c 'import sys; print(sys.version, sys.executable)'
    )
    if [ -x "$venv/bin/geomill" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] &&
        "$venv/bin/python" -c '' 2>/dev/null; then
        return 0
    fi
    need_disk 2048
    say "making the Python environment $venv (about a minute)"
    "$python" -m venv --clear "$venv" ||
        die "The Python environment could not be made; the reason stands above."
    pip_install --require-hashes -r "$2"
    # The build backend came with the lock file: no isolation, so no second download.
    pip_install --no-deps --no-build-isolation -e .
    printf '%s\n' "$wanted" >"$stamp"
}

pip_install() {
    "$venv/bin/python" -m pip --disable-pip-version-check install --quiet --quiet "$@" </dev/null ||
        die "pip could not install geomill's packages; the reason stands above. Check that PyPI can be reached, then start again: nothing is left half done."
}

# One setup at a time below a home; a second one waits. Descriptor 9 is closed again before
# anything that stays is started.
lock_setup() {
    exec 9>"$GEOMILL_HOME/setup.lock"
    if command -v flock >/dev/null 2>&1; then
        flock -n 9 || {
            say "waiting for another setup in $GEOMILL_HOME"
            flock 9
        }
    fi
}

unlock_setup() {
    exec 9>&-
}
