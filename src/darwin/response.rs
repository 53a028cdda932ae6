//! Response files: `@path` on a link line stands for the arguments in that file.

use fs_err as fs;

use crate::error::Result;

/// `args` with every response file put in its place. rustc writes one where the line is too long for the system:
/// <https://github.com/rust-lang/rust/blob/1.95.0/compiler/rustc_codegen_ssa/src/back/link.rs> (`exec_linker`).
pub(super) fn expand(args: &[String]) -> Result<Vec<String>> {
    let mut expanded = Vec::with_capacity(args.len());
    for arg in args {
        match arg.strip_prefix('@') {
            Some(path) => expanded.extend(split(&fs::read_to_string(path)?)),
            None => expanded.push(arg.clone()),
        }
    }
    Ok(expanded)
}

/// Splits as LLVM's GNU tokenizer does: blanks separate, quotes and backslashes protect.
fn split(text: &str) -> Vec<String> {
    let mut args = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => current.get_or_insert_default().extend(chars.next()),
            _ if Some(char) == quote => quote = None,
            _ if quote.is_some() => current.get_or_insert_default().push(char),
            '\'' | '"' => {
                quote = Some(char);
                current.get_or_insert_default();
            }
            _ if char.is_whitespace() => args.extend(current.take()),
            _ => current.get_or_insert_default().push(char),
        }
    }
    args.extend(current);
    args
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_backslashes_protect() {
        assert_eq!(split("a b\\ c\n\"d e\" '' f\\\\g\n"), ["a", "b c", "d e", "", "f\\g"]);
    }
}
