# Prints the comments of C files, each as one line "FILE:LINE<tab>text", to standard output; the names lt_* of the rest
# of the text go to the file `names`.
function finish() { if (comment != "") { gsub(/[ \t]+/, " ", comment); print FILENAME ":" start "\t" comment } comment = "" }
FNR == 1 { inside = 0; comment = "" }
{
    rest = $0; code = ""
    if (inside) sub(/^[ \t]*\*?[ \t]/, " ", rest)
    while (rest != "") {
        if (inside) {
            at = index(rest, "*/")
            if (!at) { comment = comment " " rest; rest = ""; continue }
            comment = comment " " substr(rest, 1, at - 1); rest = substr(rest, at + 2); inside = 0; finish()
        } else if (match(rest, /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'|\/\*|\/\/.*/)) {
            token = substr(rest, RSTART, RLENGTH); code = code substr(rest, 1, RSTART - 1)
            rest = substr(rest, RSTART + RLENGTH)
            if (token ~ /^\/\*/) { inside = 1; start = FNR }
            else if (token ~ /^\/\//) { comment = substr(token, 3); start = FNR; finish() }
            else code = code token
        } else { code = code rest; rest = "" }
    }
    while (match(code, /lt_[a-z0-9_]+/)) { print substr(code, RSTART, RLENGTH) >names; code = substr(code, RSTART + RLENGTH) }
}
