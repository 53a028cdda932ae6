//! The order of Debian's version numbers (Debian Policy 5.6.12).

use std::cmp::Ordering;

/// Which of two versions is newer. Every text has a place in the order: what is no version counts as its characters do.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let ((epoch_a, upstream_a, revision_a), (epoch_b, upstream_b, revision_b)) = (split(a), split(b));
    parts(epoch_a, epoch_b).then_with(|| parts(upstream_a, upstream_b)).then_with(|| parts(revision_a, revision_b))
}

/// `[epoch:]upstream[-revision]`.
fn split(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("0", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, "0"));
    (epoch, upstream, revision)
}

/// Texts and numbers by turns; the numbers by their value.
fn parts(mut a: &str, mut b: &str) -> Ordering {
    while !a.is_empty() || !b.is_empty() {
        let (text_a, text_b) = (take(&mut a, false), take(&mut b, false));
        let mut bytes = (text_a.bytes(), text_b.bytes());
        loop {
            match (bytes.0.next(), bytes.1.next()) {
                (None, None) => break,
                (x, y) => match weight(x).cmp(&weight(y)) {
                    Ordering::Equal => {}
                    unequal => return unequal,
                },
            }
        }
        let number = |text: &'_ str| text.trim_start_matches('0').to_owned();
        let (number_a, number_b) = (number(take(&mut a, true)), number(take(&mut b, true)));
        // As many digits as they like: longer is larger.
        match number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(&number_b)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

/// Takes the digits, or what is no digit, from the front.
fn take<'a>(text: &mut &'a str, digits: bool) -> &'a str {
    let end = text.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(text.len());
    let (taken, rest) = text.split_at(end);
    *text = rest;
    taken
}

/// A tilde is before the end, the end before letters, letters before all others.
fn weight(byte: Option<u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(byte),
        Some(byte) => i32::from(byte) + 256,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_dpkg() {
        // Each is newer than the one before it.
        let ascending = [
            "0~~",
            "0~~a",
            "0~",
            "0",
            "1.0~beta1~svn1245",
            "1.0~beta1",
            "1.0",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1.1",
            "1.0-10",
            "1.0a",
            "1.0+dfsg-1",
            "1.2.3",
            "1.10",
            "3.0.0",
            "3.0.9-1",
            "3.0.17-1~deb12u2",
            "3.0.17-1",
            "20240101",
            "1:0.1",
            "1:1.0-1",
            "10:0",
        ];
        for (at, a) in ascending.iter().enumerate() {
            for (other, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b), at.cmp(&other), "{a} and {b}");
            }
        }
        assert_eq!(compare("1.0", "0:1.0-0"), Ordering::Equal);
        assert_eq!(compare("1.007", "1.7"), Ordering::Equal);
    }

    proptest::proptest! {
        #[test]
        fn any_text_has_its_place(a in "[0-9a-c~.:+é-]{0,12}", b in "[0-9a-c~.:+é-]{0,12}") {
            assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            assert_eq!(compare(&a, &a), Ordering::Equal);
        }
    }
}
