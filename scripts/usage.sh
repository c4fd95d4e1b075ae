# shellcheck shell=bash
# For scripts: `. "$(dirname "$0")/usage.sh"`, then check_usage NAME MOST [OPTION...] -- "$@" at the head.
# -h and --help print the script's head comment; an unknown option, or more than MOST arguments besides options, ends it
# with 2.
check_usage() {
    local name=$1 most=$2 known=' ' argument count=0
    shift 2
    while [ "$1" != -- ]; do known+="$1 " && shift; done
    shift
    for argument; do
        case $argument in
        -h | --help)
            sed -nE '2,/^[^#]/ s/^# ?//p' "$0"
            exit 0
            ;;
        esac
    done
    for argument; do
        case $argument in
        -?*) [[ $known == *" $argument "* ]] && continue
            echo "$name: unknown option $argument; $0 --help says what there is" >&2
            exit 2
            ;;
        esac
        count=$((count + 1))
    done
    [ "$count" -le "$most" ] && return
    echo "$name: $count arguments, at most $most are known; $0 --help says which" >&2
    exit 2
}
