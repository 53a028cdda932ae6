//! Symbols that a crate's sources declare to be in a framework: `#[link(kind = "framework")]` on an `extern` block.

use std::collections::BTreeSet;

use camino::Utf8Path;
use fs_err as fs;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::{
    Attribute, Block, Expr, ExprLit, ForeignItem, ImplItem, Item, ItemForeignMod, Lit, Macro, Meta, Stmt, Token,
};

/// Folders of a package whose code is in none of its binaries.
const NOT_BUILT: [&str; 4] = ["tests", "examples", "benches", "target"];

/// The functions and statics that `extern` blocks with `#[link(kind = "framework")]` declare in a Rust source, spelled
/// as in the object file (`_CFRelease`), each once. A source that does not parse declares nothing.
///
/// Seen are blocks at any depth of modules and bodies, in `cfg_if!` and other macros that hold plain items, and links
/// inside `cfg_attr`. A declaration counts whatever its `cfg` says: which one was active, the account needs not know.
pub fn declared_in_source(text: &str) -> Vec<String> {
    // Parsing costs; few files hold such a block.
    if !(text.contains("\"framework\"") && text.contains("extern")) {
        return Vec::new();
    }
    let mut found = BTreeSet::new();
    if let Ok(file) = syn::parse_file(text) {
        items(&file.items, &mut found);
    }
    found.into_iter().collect()
}

/// [`declared_in_source`] of every Rust file of a package, tests, examples and benches left out. Files that cannot be
/// read declare nothing.
pub fn declared_in_package(dir: &Utf8Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![dir.as_std_path().to_owned()];
    while let Some(folder) = folders.pop() {
        let top = folder == dir.as_std_path();
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Ok(kind) = entry.file_type() else { continue };
            let skipped =
                name.as_encoded_bytes().starts_with(b".") || top && NOT_BUILT.iter().any(|known| name == **known);
            if kind.is_dir() && !skipped {
                folders.push(entry.path());
            } else if kind.is_file() && entry.path().extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(entry.path()).unwrap_or_default();
                found.extend(declared_in_source(&text));
            }
        }
    }
    found
}

fn items(list: &[Item], found: &mut BTreeSet<String>) {
    for item in list {
        match item {
            Item::ForeignMod(block) if links_framework(&block.attrs) => foreign(block, found),
            Item::Mod(module) => items(module.content.as_ref().map_or(&[], |(_, content)| content), found),
            Item::Fn(function) => body(&function.block, found),
            Item::Impl(block) => {
                for item in &block.items {
                    if let ImplItem::Fn(function) = item {
                        body(&function.block, found);
                    }
                }
            }
            Item::Macro(call) => in_macro(&call.mac, found),
            _ => {}
        }
    }
}

fn body(block: &Block, found: &mut BTreeSet<String>) {
    for statement in &block.stmts {
        match statement {
            Stmt::Item(item) => items(std::slice::from_ref(item), found),
            Stmt::Macro(call) => in_macro(&call.mac, found),
            _ => {}
        }
    }
}

/// The items in a macro call: `cfg_if! { if #[cfg(…)] { items } else { items } }`, or items alone.
fn in_macro(call: &Macro, found: &mut BTreeSet<String>) {
    let plain = |input: ParseStream<'_>| {
        let mut list = Vec::new();
        while !input.is_empty() {
            list.push(input.parse::<Item>()?);
        }
        Ok(list)
    };
    let branches = |input: ParseStream<'_>| {
        let mut list = Vec::new();
        while !input.is_empty() {
            input.parse::<Option<Token![else]>>()?;
            if input.parse::<Option<Token![if]>>()?.is_some() {
                Attribute::parse_outer(input)?;
            }
            let content;
            syn::braced!(content in input);
            list.extend(plain(&content)?);
        }
        Ok(list)
    };
    let tokens = || call.tokens.clone();
    if let Ok(list) = branches.parse2(tokens()).or_else(|_| plain.parse2(tokens())) {
        items(&list, found);
    }
}

/// Whether attributes hold `link(…, kind = "framework")`, by itself or in a `cfg_attr`.
fn links_framework(attributes: &[Attribute]) -> bool {
    let mut links = false;
    each_meta(attributes, &mut |meta| {
        if let Meta::List(list) = meta
            && list.path.is_ident("link")
            && let Ok(inner) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
        {
            links |= inner.iter().any(|meta| text_of(meta, "kind").as_deref() == Some("framework"));
        }
    });
    links
}

fn foreign(block: &ItemForeignMod, found: &mut BTreeSet<String>) {
    for item in &block.items {
        let (attributes, name) = match item {
            ForeignItem::Fn(function) => (&function.attrs, function.sig.ident.to_string()),
            ForeignItem::Static(item) => (&item.attrs, item.ident.to_string()),
            _ => continue,
        };
        // Under a `cfg_attr` both names are possible.
        if !attributes.iter().any(|attribute| attribute.path().is_ident("link_name")) {
            found.insert(symbol(name.trim_start_matches("r#")));
        }
        each_meta(attributes, &mut |meta| found.extend(text_of(meta, "link_name").map(|name| symbol(&name))));
    }
}

/// A name as the object file spells it; LLVM takes one that begins with `\x01` as it is.
fn symbol(name: &str) -> String {
    name.strip_prefix('\u{1}').map_or_else(|| format!("_{name}"), str::to_owned)
}

/// Visits attributes, with those that a `cfg_attr` holds put in its place.
fn each_meta(attributes: &[Attribute], visit: &mut dyn FnMut(&Meta)) {
    for attribute in attributes {
        unwrapped(&attribute.meta, visit);
    }
}

fn unwrapped(meta: &Meta, visit: &mut dyn FnMut(&Meta)) {
    let (list, skip) = match meta {
        Meta::List(list) if list.path.is_ident("cfg_attr") => (list, 1),
        // Rust 2024 writes `#[unsafe(…)]` around some attributes.
        Meta::List(list) if list.path.is_ident("unsafe") => (list, 0),
        _ => return visit(meta),
    };
    if let Ok(inner) = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated) {
        inner.iter().skip(skip).for_each(|meta| unwrapped(meta, visit));
    }
}

/// The text in `key = "text"`.
fn text_of(meta: &Meta, key: &str) -> Option<String> {
    let Meta::NameValue(pair) = meta else { return None };
    match &pair.value {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) if pair.path.is_ident(key) => Some(text.value()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn functions_and_statics_of_framework_blocks() {
        let text = r#"
            #[link(name = "Security", kind = "framework")]
            unsafe extern "C" {
                pub fn SecOne(a: i32, ...) -> i32;
                pub static kSecTwo: *const u8;
                #[link_name = "SecThree$INODE64"]
                fn three();
                #[link_name = "\x01_raw"]
                fn raw();
                #[cfg_attr(target_arch = "x86_64", link_name = "SecFour$X")]
                fn SecFour();
                fn r#try();
                type Opaque;
            }
            #[link(name = "sodium")]
            extern "C" { fn sodium_init() -> i32; }
            extern "C" { fn plain(); }
        "#;
        let expected =
            ["_SecFour", "_SecFour$X", "_SecOne", "_SecThree$INODE64", "_kSecTwo", "_raw", "_try"].map(str::to_owned);
        assert_eq!(declared_in_source(text), expected);
    }

    #[test]
    fn blocks_in_modules_bodies_and_macros() {
        let text = r#"
            mod a { mod b {
                #[cfg_attr(target_os = "macos", link(name = "A", kind = "framework"))]
                extern { fn in_module(); }
            } }
            fn f() { #[link(kind = "framework", name = "B")] extern "C" { fn in_function(); } }
            impl S { fn g() { #[link(name = "B", kind = "framework")] extern "C" { fn in_method(); } } }
            cfg_if::cfg_if! {
                if #[cfg(target_os = "macos")] {
                    #[link(name = "C", kind = "framework")] extern "C" { fn in_branch(); }
                } else if #[cfg(windows)] { } else {
                    #[link(name = "C", kind = "framework")] extern "C" { fn in_else(); }
                }
            }
            extern_c! { #[link(name = "D", kind = "framework")] extern "C" { fn in_macro(); } }
            other! { not items at all @ 3 }
        "#;
        let expected = ["_in_branch", "_in_else", "_in_function", "_in_macro", "_in_method", "_in_module"];
        assert_eq!(declared_in_source(text), expected.map(str::to_owned));
    }

    #[test]
    fn an_unparsable_source_declares_nothing() {
        assert_eq!(declared_in_source("#[link(kind = \"framework\")] extern \"C\" { fn x( }"), [""; 0]);
        assert_eq!(declared_in_source("#[link(\"framework\" =)] extern \"C\" { fn x(); }"), [""; 0]);
    }

    #[test]
    fn a_package_is_walked_without_its_tests() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        for (path, name) in [("src/lib.rs", "a"), ("src/deep/b.rs", "b"), ("tests/c.rs", "c"), (".git/d.rs", "d")] {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = format!("#[link(name = \"X\", kind = \"framework\")] extern \"C\" {{ fn {name}(); }}");
            fs::write(path, text).unwrap();
        }
        fs::write(dir.join("src/broken.rs"), b"\xff\"framework\" extern").unwrap();
        assert_eq!(declared_in_package(dir), BTreeSet::from(["_a".to_owned(), "_b".to_owned()]));
        assert_eq!(declared_in_package(&dir.join("missing")), BTreeSet::new());
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(extern|\"framework\"|#\\[link\\(|\\)\\]|[{}()=,;!]|fn |[a-z ]|\\PC){0,40}") {
            declared_in_source(&format!("{text}\n// \"framework\" extern"));
        }
    }
}
