# Common to the steps: the place to stand, and what is missing installed.
set -eu
cd "$(dirname "${BASH_SOURCE:-$0}")/.."
export CARGO_TERM_COLOR=never

# have PROGRAM PACKAGE...: installs the packages (Debian, as root) unless the program is there.
have() {
    program=$1
    shift
    command -v "$program" >/dev/null 2>&1 && return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
        echo "ci: $program is missing; install $*" >&2
        return 1
    fi
    if [ -z "${BEVOR_CI_APT_UPDATED:-}" ]; then
        apt-get update -qq
        export BEVOR_CI_APT_UPDATED=1
    fi
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
