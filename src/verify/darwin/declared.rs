//! Symbols that a crate's sources declare to be in a framework: `#[link(kind = "framework")]` on an `extern` block.

use std::collections::BTreeSet;

use camino::Utf8Path;
use syn::{Attribute, Block, ForeignItem, ImplItem, Item, ItemForeignMod, Meta, Stmt};

use crate::project::evidence::{
    LARGEST, each_meta, items_of_macro, metas_of, on_deep_stack, parse, rust_files, text_of,
};
use crate::util::files::PlainFile;

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
    if let Ok(file) = parse(text) {
        items(&file.items, &mut found);
    }
    found.into_iter().collect()
}

/// [`declared_in_source`] of every Rust file of some packages, tests, examples and benches left out. Files that cannot be
/// read, and such as hold more than any source, declare nothing.
pub fn declared_in_packages(dirs: &[impl AsRef<Utf8Path> + Sync]) -> BTreeSet<String> {
    let read = |path: &Utf8Path| PlainFile::open(path, LARGEST).and_then(|file| file.read_text()).unwrap_or_default();
    on_deep_stack(|| {
        let mut found = BTreeSet::new();
        for dir in dirs.iter().map(AsRef::as_ref) {
            for path in rust_files(dir, dir) {
                found.extend(declared_in_source(&read(&path)));
            }
        }
        found
    })
    .unwrap_or_default()
}

/// [`declared_in_packages`] of one.
pub fn declared_in_package(dir: &Utf8Path) -> BTreeSet<String> {
    declared_in_packages(&[dir])
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
            Item::Macro(call) => items(&items_of_macro(&call.mac), found),
            _ => {}
        }
    }
}

fn body(block: &Block, found: &mut BTreeSet<String>) {
    for statement in &block.stmts {
        match statement {
            Stmt::Item(item) => items(std::slice::from_ref(item), found),
            Stmt::Macro(call) => items(&items_of_macro(&call.mac), found),
            _ => {}
        }
    }
}

/// Whether attributes hold `link(…, kind = "framework")`, by itself or in a `cfg_attr`.
fn links_framework(attributes: &[Attribute]) -> bool {
    let mut links = false;
    each_meta(attributes, &mut |_, meta| {
        if let Meta::List(list) = meta
            && list.path.is_ident("link")
        {
            links |= metas_of(list).iter().any(|meta| text_of(meta, "kind").as_deref() == Some("framework"));
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
        each_meta(attributes, &mut |_, meta| found.extend(text_of(meta, "link_name").map(|name| symbol(&name))));
    }
}

/// A name as the object file spells it; LLVM takes one that begins with `\x01` as it is.
fn symbol(name: &str) -> String {
    name.strip_prefix('\u{1}').map_or_else(|| format!("_{name}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use fs_err as fs;

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
    fn a_deeply_nested_source_ends_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let block = "#[link(name = \"X\", kind = \"framework\")] extern \"C\" { fn a(); }";
        // As deep as a source may be to be parsed at all: more than the stack of a test's thread holds.
        fs::write(dir.join("deep.rs"), format!("{block} fn f() -> bool {{ {}true }}", "!".repeat(5_900))).unwrap();
        let large = format!("{}\n//{}", block.replace("fn a", "fn b"), " ".repeat(usize::try_from(LARGEST).unwrap()));
        fs::write(dir.join("large.rs"), large).unwrap();
        assert_eq!(declared_in_package(dir), BTreeSet::from(["_a".to_owned()]));
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
