# Runs in a container, beside what a lane built. On standard input: lines in twos (a file, what it was when it was last
# fetched). On standard output: a tar of those that are another by now, with the records of how they were linked.
cd /convoy/0 || exit 1
list=/tmp/list
: >"$list"
while IFS= read -r file && IFS= read -r before; do
    [ -f "$file" ] || continue
    now=$(stat -c '%i %s %y %z' "$file" 2>/dev/null)
    printf 'now\t%s\t%s\n' "$file" "$now" >&2
    [ -z "$now" ] || [ "$now" != "$before" ] || continue
    printf './%s\n' "$file" >>"$list"
    for record in "$file.convoy-link.json" "${file%/*}"/deps/*.convoy-link.json; do
        linked=${record%.convoy-link.json}
        if [ -f "$record" ] && [ "$linked" -ef "$file" ]; then
            # The linked file is the same one by another name, which costs nothing and tells which record is its own.
            [ "$linked" = "$file" ] || printf './%s\n' "$linked" >>"$list"
            printf './%s\n' "$record" >>"$list"
        fi
    done
done
exec tar -c -f - -T "$list"
