//! Every sentence that the program can say, in one snapshot: a changed message is seen in review, and all of them can be
//! read as a whole.

use std::collections::BTreeSet;

use camino::{Utf8Path, Utf8PathBuf};
use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// The string literals of code, without tests, and without attributes (and so without comments for documentation) except
/// those of errors.
fn literals(code: TokenStream, found: &mut Vec<String>) {
    let mut tokens = code.into_iter().peekable();
    // Whether the next item is compiled for tests alone.
    let mut of_tests = false;
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == '#' => {
                tokens.next_if(|next| matches!(next, TokenTree::Punct(bang) if bang.as_char() == '!'));
                if let Some(TokenTree::Group(attribute)) = tokens.next_if(is_attribute) {
                    let text = attribute.stream().to_string().replace(' ', "");
                    if text.starts_with("error(") && !of_tests {
                        literals(attribute.stream(), found);
                    }
                    of_tests |= text == "test" || text.starts_with("cfg(test") || text.starts_with("cfg(all(test");
                }
            }
            TokenTree::Punct(punct) if punct.as_char() == ';' => of_tests = false,
            TokenTree::Group(group) => {
                if !of_tests {
                    literals(group.stream(), found);
                }
                of_tests &= !is_body(&group);
            }
            TokenTree::Literal(literal) if !of_tests => {
                if let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) {
                    found.push(text.value());
                }
            }
            _ => {}
        }
    }
}

fn is_attribute(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Bracket)
}

/// The end of an item with a body: a function, a module.
fn is_body(group: &Group) -> bool {
    group.delimiter() == Delimiter::Brace
}

/// Whether a text is for people: some words that are no path, flag, pattern or line of a script.
fn is_sentence(text: &str) -> bool {
    let words =
        text.split_whitespace().filter(|word| word.len() > 1 && word.chars().all(|c| c.is_alphabetic() || c == ','));
    let foreign = ["\n#", "$(", "\"$", "Acquire::", "-D", "${"].iter().any(|start| text.contains(start));
    words.count() > 1 && !foreign
}

fn sources(dir: &Utf8Path, files: &mut Vec<Utf8PathBuf>) {
    for entry in dir.read_dir_utf8().unwrap() {
        let path = entry.unwrap().into_path();
        if path.file_name() == Some("tests") {
            continue;
        }
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension() == Some("rs") && path.file_name() != Some("tests.rs") {
            files.push(path);
        }
    }
}

#[test]
fn every_message_is_known() {
    let root = Utf8Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    files.sort();
    let mut text = String::new();
    for file in files {
        let code: TokenStream = fs_err::read_to_string(&file).unwrap().parse().unwrap();
        let mut found = Vec::new();
        literals(code, &mut found);
        let sentences: BTreeSet<String> = found.into_iter().filter(|text| is_sentence(text)).collect();
        if !sentences.is_empty() {
            text += &format!("{}\n", file.strip_prefix(&root).unwrap());
            text.extend(sentences.iter().map(|sentence| format!("    {}\n", sentence.trim().replace('\n', "\\n"))));
        }
    }
    insta::assert_snapshot!(text);
}
