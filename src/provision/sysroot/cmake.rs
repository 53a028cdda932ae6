//! cmake's package files name libraries by absolute paths where their packager said so; a build would take this machine's
//! own for the target's, or find nothing. Pure.

use std::sync::LazyLock;

use camino::Utf8Path;
use regex::{Captures, Regex};

use super::place;

/// A path of the system at the start of a word.
static ABSOLUTE: LazyLock<Regex> = LazyLock::new(|| {
    // A constant: seen to be right by the tests below.
    Regex::new(r#"(?m)(^|["\s;(=])(/(?:usr|lib|lib64)\b(?:/[^"\s;)]*)?)"#).unwrap_or_else(|error| panic!("{error}"))
});

/// Whether a file is one of cmake's, by its name.
pub(super) fn may_be(place: &Utf8Path) -> bool {
    place.extension() == Some("cmake")
}

/// The file with every path of the system replaced by one from its own folder; none where nothing is to be replaced.
pub(super) fn rewritten(place: &Utf8Path, text: &str) -> Option<String> {
    let from_here = |found: &Captures<'_>| {
        let [before, path] = [1, 2].map(|group| found.get(group).map_or("", |group| group.as_str()));
        match place::place(Utf8Path::new(path)) {
            Ok(target) if !path.contains('$') => {
                format!("{before}${{CMAKE_CURRENT_LIST_DIR}}/{}", place::relative(place, &target))
            }
            _ => found[0].to_owned(),
        }
    };
    let new = ABSOLUTE.replace_all(text, from_here);
    (new != text).then(|| new.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_the_system_are_taken_from_the_files_own_folder() {
        let place = Utf8Path::new("usr/lib/x86_64-linux-gnu/cmake/Snappy/SnappyTargets.cmake");
        let text = "set(_IMPORT_PREFIX \"/usr\")\n\
            IMPORTED_LOCATION \"/usr/lib/x86_64-linux-gnu/libsnappy.so.1\"\n\
            list(APPEND x /usr/include;/lib/x86_64-linux-gnu/libz.so.1)\n";
        assert_eq!(
            rewritten(place, text).unwrap(),
            "set(_IMPORT_PREFIX \"${CMAKE_CURRENT_LIST_DIR}/../../../..\")\n\
             IMPORTED_LOCATION \"${CMAKE_CURRENT_LIST_DIR}/../../libsnappy.so.1\"\n\
             list(APPEND x ${CMAKE_CURRENT_LIST_DIR}/../../../../include;\
             ${CMAKE_CURRENT_LIST_DIR}/../../libz.so.1)\n"
        );
        for text in ["set(x \"${_IMPORT_PREFIX}/usr/lib\")", "set(x /user)", "# a/usr/b", "set(x \"/usr/$ENV{y}\")"] {
            assert_eq!(rewritten(place, text), None, "{text}");
        }
    }
}
