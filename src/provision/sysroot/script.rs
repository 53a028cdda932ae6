//! GNU ld scripts that stand where libraries are expected (`libc.so`). Debian's name files by absolute paths, which lead
//! to this machine's own libraries or to nothing. Pure.

use camino::{Utf8Path, Utf8PathBuf};

use super::place;

/// More than any script that stands for a library.
pub(super) const LONGEST: u64 = 64 * 1024;

/// Whether a file may be such a script, by its name and first bytes.
pub(super) fn may_be(place: &Utf8Path, start: &[u8]) -> bool {
    let name = place.file_name().unwrap_or_default();
    let library = name.starts_with("lib") && (name.ends_with(".a") || name.ends_with(".so") || name.contains(".so."));
    library && !start.starts_with(b"\x7fELF") && !start.starts_with(b"!<")
}

/// The script with every absolute path replaced by one from its own folder, where both GNU ld and lld look; none where
/// nothing is to be replaced. `exists` says what the sysroot holds.
pub(super) fn rewritten(place: &Utf8Path, text: &str, exists: impl Fn(&Utf8Path) -> bool) -> Option<String> {
    let mut new = String::with_capacity(text.len());
    let mut rest = text;
    let mut changed = false;
    while !rest.is_empty() {
        if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |end| end + 2);
            new.push_str(&rest[..end]);
            rest = &rest[end..];
            continue;
        }
        let is_end = |c: char| c.is_whitespace() || "(),;\"".contains(c);
        let end = rest.find(is_end).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match absolute(word) {
            Some(path) => {
                new.push_str(from_here(place, &path, &exists).as_str());
                changed = true;
            }
            None => new.push_str(word),
        }
        let separators = after.find(|c| !is_end(c)).unwrap_or(after.len());
        new.push_str(&after[..separators]);
        rest = &after[separators..];
    }
    changed.then_some(new)
}

/// The file in the sysroot that an absolute path means; `=` stands for the sysroot itself.
fn absolute(word: &str) -> Option<Utf8PathBuf> {
    let path = word.strip_prefix('=').unwrap_or(word);
    if !path.starts_with('/') || path.len() == 1 {
        return None;
    }
    place::place(Utf8Path::new(path)).ok()
}

fn from_here(script: &Utf8Path, file: &Utf8Path, exists: impl Fn(&Utf8Path) -> bool) -> Utf8PathBuf {
    // A bare name serves linkers that look along their search paths only, too.
    let name = file.file_name().unwrap_or_default();
    let beside = script.with_file_name(name);
    if exists(&beside) { name.into() } else { place::relative(script, file) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "usr/lib/arm-linux-gnueabihf/libc.so";

    fn holds(path: &Utf8Path) -> bool {
        ["libc.so.6", "libc_nonshared.a"].iter().any(|name| path == format!("usr/lib/arm-linux-gnueabihf/{name}"))
    }

    #[test]
    fn absolute_paths_become_names_beside_the_script() {
        let text = "/* GNU ld script\n   Use the shared library (/lib/x). */\nOUTPUT_FORMAT(elf32-littlearm)\n\
                    GROUP ( /lib/arm-linux-gnueabihf/libc.so.6 =/usr/lib/arm-linux-gnueabihf/libc_nonshared.a  \
                    AS_NEEDED ( /lib/ld-linux-armhf.so.3 ) )\n";
        assert_eq!(
            rewritten(PLACE.into(), text, holds).as_deref(),
            Some(
                "/* GNU ld script\n   Use the shared library (/lib/x). */\nOUTPUT_FORMAT(elf32-littlearm)\n\
                 GROUP ( libc.so.6 libc_nonshared.a  AS_NEEDED ( ../ld-linux-armhf.so.3 ) )\n"
            )
        );
        let tight = "INPUT(/lib/arm-linux-gnueabihf/libc.so.6,-lx)";
        assert_eq!(rewritten(PLACE.into(), tight, holds).as_deref(), Some("INPUT(libc.so.6,-lx)"));
    }

    #[test]
    fn a_script_without_absolute_paths_stays() {
        for text in ["INPUT(libncurses.so.6 -ltinfo)", "/* /lib/x */ GROUP ( libgcc_s.so.1 -lgcc )", "", "/", "/* open"]
        {
            assert_eq!(rewritten(PLACE.into(), text, holds), None, "{text}");
        }
    }

    #[test]
    fn only_text_that_stands_for_a_library_is_looked_at() {
        for (place, start, is) in [
            ("usr/lib/x/libc.so", &b"/* GNU"[..], true),
            ("usr/lib/x/libm.a", b"/* GNU", true),
            ("usr/lib/x/libc.so.6", b"\x7fELF", false),
            ("usr/lib/x/libz.a", b"!<arch>\n", false),
            ("usr/include/libx.h", b"/* x */", false),
        ] {
            assert_eq!(may_be(place.into(), start), is, "{place}");
        }
    }
}
