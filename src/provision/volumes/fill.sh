# Runs in a container, as its root, and makes the volumes there what they are to be. On standard input: lines in threes
# (a word, a place below /convoy, a value) up to an empty one, then a tar of what is new.
set -u
umask 022
cd /convoy || exit 1
lacks=''
after=''
while IFS= read -r word && [ -n "$word" ]; do
    IFS= read -r place && IFS= read -r value || exit 1
    case $word in
    # What a volume was last filled with is written in a file of this name.
    is) [ "$(cat "$place" 2>/dev/null)" = "$value" ] || lacks="$lacks $place" ;;
    unless)
        if [ "$(cat "$place" 2>/dev/null)" = "$value" ]; then
            echo filled
            exit 0
        fi
        ;;
    # Before anything is changed: what is only half done is not taken for done.
    begin)
        [ -z "$lacks" ] || break
        rm -f "$place" || exit 1
        ;;
    clear) rm -rf "$place"/* "$place"/.[!.]* "$place"/..?* || exit 1 ;;
    gone) rm -rf "$place" || exit 1 ;;
    owner) chown "$value" "$place" || exit 1 ;;
    # What was built with other tools is built anew.
    key)
        if [ "$(cat "$place.convoy-key" 2>/dev/null)" != "$value" ]; then
            rm -rf "$place" && printf '%s' "$value" >"$place.convoy-key" || exit 1
        fi
        ;;
    end) after="$after $place=$value" ;;
    *) exit 1 ;;
    esac
done
if [ -n "$lacks" ]; then
    echo "lacks$lacks"
    exit 0
fi
tar -x -p -m -f - || exit 1
# They come at last: an archive that ends between two files is a whole one to tar.
for pair in $after; do
    [ "$(cat "${pair%%=*}" 2>/dev/null)" = "${pair#*=}" ] || exit 1
done
echo filled
