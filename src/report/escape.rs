//! The one border where text from outside (binaries, crates, tools, servers) comes to a terminal or a log. A terminal takes
//! control characters for commands, people read text that runs from right to left in another order than programs do, and
//! CI services take some lines for commands of their own.

use std::borrow::Cow;

/// Escapes a text of one line: nothing in it can end the line, paint, move the cursor, or change the reading order.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        match is_unsafe(char) {
            true => escape(char, &mut out),
            false => out.push(char),
        }
    }
    out.into()
}

/// What a terminal is given: lines, tabs and (with `color`) colours stay, every other control character is escaped, and no
/// line is a command to a CI service.
pub(crate) fn terminal(text: &str, color: bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        if let Some(length) = colour(rest) {
            if color {
                out.push_str(&rest[..length]);
            }
            rest = &rest[length..];
            continue;
        }
        rest = &rest[char.len_utf8()..];
        match char {
            '\n' | '\t' => out.push(char),
            // Windows ends lines so. Alone it lets the rest of the line be written over.
            '\r' if rest.starts_with('\n') => {}
            '\r' => out.push('\n'),
            _ if is_unsafe(char) => escape(char, &mut out),
            _ => out.push(char),
        }
    }
    without_commands(out)
}

/// What a log is given: [`terminal`] without colours.
pub(crate) fn log(text: &str) -> String {
    terminal(text, false)
}

/// C0, DEL and C1, marks of the reading order, and separators that some programs take for the end of a line.
fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}' | '\u{feff}')
}

fn escape(char: char, out: &mut String) {
    out.extend(char.escape_unicode());
}

/// The length of the sequence that a text begins with, if it only changes colours and the like (SGR).
fn colour(text: &str) -> Option<usize> {
    let parameters = text.strip_prefix("\u{1b}[")?;
    let end = parameters.find(|char: char| !(char.is_ascii_digit() || char == ';' || char == ':'))?;
    parameters[end..].starts_with('m').then_some(2 + end + 1)
}

/// GitHub takes a line that begins with `::` for a command; it and Azure take `##[` and `##vso[` anywhere.
fn without_commands(text: String) -> String {
    let text = match text.contains("##") {
        true => text.replace("##[", "#\\u{23}[").replace("##vso[", "#\\u{23}vso["),
        false => text,
    };
    if !text.contains("::") {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 8);
    for line in text.split_inclusive('\n') {
        let start = start(line);
        match line[start..].strip_prefix("::") {
            Some(rest) => {
                out.push_str(&line[..start]);
                out.push_str("\\u{3a}:");
                out.push_str(rest);
            }
            None => out.push_str(line),
        }
    }
    out
}

/// Where a line's text begins, blanks and colours passed over.
fn start(line: &str) -> usize {
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let blank = rest.len() - rest.trim_start().len();
        match colour(&rest[blank..]) {
            Some(length) => at += blank + length,
            None => return at + blank,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_line_stays_one_line() {
        assert_eq!(line("libz.so.1 – ünïcode 日本"), "libz.so.1 – ünïcode 日本");
        assert_eq!(line("a\u{1b}]0;OWNED\u{7}b"), "a\\u{1b}]0;OWNED\\u{7}b");
        assert_eq!(line("a\n::stop-commands::x\t\r"), "a\\u{a}::stop-commands::x\\u{9}\\u{d}");
        assert_eq!(line("\u{202e}gnp.exe\u{9b}2J\u{2028}"), "\\u{202e}gnp.exe\\u{9b}2J\\u{2028}");
    }

    #[test]
    fn diagnostics_keep_their_lines_and_colours_and_nothing_else() {
        let text = "\u{1b}[0m\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: x\r\n\tat\u{1b}[2J\u{1b}]8;;http://x\u{1b}\\y\rz\n";
        let escaped = "x\n\tat\\u{1b}[2J\\u{1b}]8;;http://x\\u{1b}\\y\nz\n";
        assert_eq!(terminal(text, true), format!("\u{1b}[0m\u{1b}[1m\u{1b}[38;5;9merror\u{1b}[0m: {escaped}"));
        assert_eq!(log(text), format!("error: {escaped}"));
        // One that is cut off is none.
        assert_eq!(log("\u{1b}[31"), "\\u{1b}[31");
    }

    #[test]
    fn no_line_is_a_command_to_a_ci_service() {
        assert_eq!(log("a\n  ::add-mask::x\nb::c"), "a\n  \\u{3a}:add-mask::x\nb::c");
        assert_eq!(terminal(" \u{1b}[31m ::error::x", true), " \u{1b}[31m \\u{3a}:error::x");
        assert_eq!(log("a\r::error::x"), "a\n\\u{3a}:error::x");
        assert_eq!(log("a ##[error]b ##vso[task.x]"), "a #\\u{23}[error]b #\\u{23}vso[task.x]");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_is_left(text in "(\\x1b\\[[0-9;]{0,3}m?|::|##\\[|[\\x00-\\x20]|\\PC|\\pC){0,20}") {
            let shown = log(&text);
            prop_assert!(shown.chars().all(|char| matches!(char, '\n' | '\t') || !is_unsafe(char)), "{shown:?}");
            prop_assert!(shown.lines().all(|line| !line.trim().starts_with("::") && !line.contains("##[")), "{shown:?}");
            prop_assert!(!line(&text).contains(is_unsafe));
        }
    }
}
