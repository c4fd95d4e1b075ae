#!/usr/bin/env bash
# Rules about the source tree: formatting, which room may include which, how long files, functions and lines may be,
# words, and that what documents and comments name exists.
#
#   ./scripts/check_tree.sh            prints every breach; exits 1 if there is one
set -uo pipefail
. "$(dirname "$0")/usage.sh"
check_usage check_tree 0 -- "$@"
cd "$(dirname "$0")/.."
bad=0
say() { echo "check: $*"; bad=1; }

sources=$(git ls-files '*.c' '*.h' '*.cu' '*.cuh')

if command -v clang-format >/dev/null; then
    # shellcheck disable=SC2086
    unformatted=$(clang-format --dry-run $sources 2>&1 | sed -nE 's/^([^ :]+):[0-9]+:[0-9]+: .*/\1/p' | sort -u)
    for f in $unformatted; do say "$f: run clang-format -i"; done
else
    echo "check: clang-format is not installed, formatting was not checked"
fi

# DESIGN section 2: a room includes only the rooms named here and itself.
declare -A may=(
    [core]="" [kernels]="core" [autograd]="core kernels" [data]="core" [model]="core kernels autograd data"
    [infer]="core kernels autograd data model" [train]="core kernels autograd data model infer"
    [experiments]="core kernels autograd data model infer train"
    [api]="include core kernels autograd data model infer train experiments")
for f in $sources; do
    room=${f%%/*}
    [ -n "${may[$room]+x}" ] || continue
    while IFS= read -r target; do
        other=${target%%/*}
        case $target in *_impl.h | *_internal.h)
            [[ $(dirname "$f")/ == $(dirname "$target")/* ]] || say "$f includes $target, which is private to $(dirname "$target")/" ;;
        esac
        [ "$other" = "$room" ] && continue
        [ "$other" = tests ] && [[ $(basename "$f") == test* ]] && continue
        case " ${may[$room]} " in *" $other "*) ;; *) say "$f includes $target: $room does not see $other" ;; esac
    done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]+)".*/\1/p' "$f" | grep /)
done
headers=$(grep -lE '#[[:space:]]*include[[:space:]]*<hdf5' $sources | grep -vE '^data/h5[^/]*\.[ch]$')
[ -z "$headers" ] || say "only data/h5*.c may include hdf5.h: $headers"

for f in $sources; do
    lines=$(wc -l <"$f")
    [ "$lines" -le 800 ] || say "$f has $lines lines, at most 800"
done
median=$(for f in $sources; do wc -l <"$f"; done | sort -n | awk '{a[NR]=$1} END {print a[int((NR+1)/2)]}')
[ "${median:-0}" -le 250 ] || say "the median file has $median lines, at most 250"

# Functions: from the line that opens the body in column 0 to the closing brace in column 0.
lengths=$(awk 'FNR == 1 {start = 0}
    /^[A-Za-z_].*\)[[:space:]]*\{[[:space:]]*$/ {start = FNR; name = $0}
    /^\{/ && !start {start = FNR; name = prev}
    /^\}/ {if (start) {sub(/\(.*/, "", name); print FNR - start + 1, FILENAME ":" start, name} start = 0}
    {prev = $0}' $(printf '%s\n' $sources | grep -E '\.(c|cu)$'))
while read -r n where name; do
    [ "${n:-0}" -le 150 ] || say "$where $name: $n lines, at most 150"
done <<<"$lengths"
p90=$(awk '{print $1}' <<<"$lengths" | sort -n | awk '{a[NR]=$1} END {print a[int(NR*0.9)]}')
[ "${p90:-0}" -le 70 ] || say "the longest tenth of the functions starts at $p90 lines, at most 70"
for f in model/cache/policy/*.c; do
    [ ! -f "$f" ] || [ "$(wc -l <"$f")" -le 60 ] || say "$f: a policy is one file of at most 60 lines"
done

# Every script answers --help with its head comment and an unknown option with 2, before it does anything.
for f in $(git ls-files 'scripts/*.sh' 'tests/*.sh' .ci/run); do
    [ "$f" = scripts/usage.sh ] && continue
    if ! sed '/^cd /q' "$f" | grep -q '^check_usage '; then say "$f: call check_usage (scripts/usage.sh) at the head"; continue; fi
    [ -n "$(bash "$f" --help 2>/dev/null)" ] || say "$f --help says nothing"
    status=0
    bash "$f" --no-such-option >/dev/null 2>&1 || status=$?
    [ "$status" = 2 ] || say "$f --no-such-option ends with $status, not 2"
done

# Comments: what they call lt_* exists. In the rooms that docs/glossary.md lists as done its old words are gone, and no
# line is longer than 120 columns.
names=$(mktemp) comments=$(mktemp)
trap 'rm -f "$names" "$comments"' EXIT
# shellcheck disable=SC2086
awk -v names="$names" -f scripts/comments.awk $sources >"$comments"
while read -r name; do
    case $name in *_) known="^$name" ;; *) known="^$name$" ;; esac # "lt_cache_" stands for a family
    grep -q "$known" "$names" || say "$(grep -wF -m1 -- "$name" "$comments" | cut -f1): a comment names $name, which does not exist"
done < <(grep -ohE '\blt_[a-z0-9_]+' "$comments" | sort -u)
done_rooms=$(sed -nE 's/^\| ([a-z]+) \| yes \|$/\1/p' docs/glossary.md | paste -sd '|')
while read -r pattern; do
    [ -n "$done_rooms" ] || break
    while read -r where; do
        say "$where: an old word (docs/glossary.md): $pattern"
    done < <(grep -E "^($done_rooms)/" "$comments" | grep -iP -- "\t.*$pattern" | cut -f1)
done < <(sed -n '/^| old word/,/^Folders/p' docs/glossary.md | sed -nE 's/.*\| `(.*)` \|$/\1/p' | sed 's/\\|/|/g; s/.*/(&)/')

# Columns are characters, not bytes; a row of a table in a document is one line.
[ -z "$done_rooms" ] || while read -r where; do
    say "$where: longer than 120 columns"
done < <(git ls-files | grep -E "^($done_rooms)/.*\.(c|h|cu|cuh|md|sh|awk|py|def|html|css)$" | LC_ALL=C xargs awk '
    /^\|/ && FILENAME ~ /\.md$/ { next }
    { text = $0; gsub(/[\200-\277]/, "", text) }
    length(text) > 120 { print FILENAME ":" FNR }')

# What documents put in backticks exists: paths in tracked folders (with *), and names of the library. A step that says
# "Write `file`" asks for a new one.
documents=$(git ls-files README.md CONTRIBUTING.md 'docs/*.md')
folders=$(git ls-files | sed -n 's|/.*||p' | sort -u | paste -sd '|')
for f in $documents; do
    spans=$(sed '/^```/,/^```/d' "$f" | grep -v 'Write `' | grep -oE '`[^` ]+`' | tr -d '`' | sort -u)
    for span in $spans; do
        case $span in
        *[\<\>{}=A-Z]*) ;; # a pattern for the reader, or a constant
        lt_*\*) git grep -qF -e "${span%\*}" -- '*.[ch]' || say "$f: nothing begins with $span" ;;
        lt_*) git grep -qwF -e "${span%%(*}" -- '*.[ch]' || say "$f: there is no $span" ;;
        *) [[ ! $span =~ ^($folders)/ ]] || compgen -G "$span" >/dev/null || say "$f: there is no $span" ;;
        esac
    done
done
[ "$bad" = 0 ] && echo "check: tree is fine (median file $median lines, functions p90 $p90 lines)"
exit $bad
