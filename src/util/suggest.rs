//! The nearest known word to an unknown one.

/// The candidate that is most like `word`, when one is like it at all.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (likeness(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        // Below this clap suggests nothing either; `pi4` → `pi-4` is 0.93, `armv7` → `linux/arm/v7` is 0.56.
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// The nearest candidate as the end of a message; nothing where none is like the word.
pub(crate) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default()
}

/// One slip of the finger is always alike: Jaro-Winkler finds none in `tow` for `two`.
fn likeness(word: &str, candidate: &str) -> f64 {
    let slip = word.chars().count() > 2 && strsim::osa_distance(word, candidate) == 1;
    strsim::jaro_winkler(word, candidate).max(if slip { 0.9 } else { 0.0 })
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn typing_errors_are_found_and_nonsense_is_not() {
        assert_eq!(nearest("pi4", ["pi-1", "pi-4", "pi-zero"]), Some("pi-4"));
        assert_eq!(nearest("linux/amr64", ["linux/amd64", "linux/arm64"]), Some("linux/arm64"));
        assert_eq!(nearest("tow", ["one", "two"]), Some("two"));
        assert_eq!(nearest("qqqq", ["linux/amd64", "pi-4"]), None);
    }
}
