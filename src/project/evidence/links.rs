//! `#[link(…)]` blocks of a package's sources.

use std::collections::HashMap;

use camino::{Utf8Path, Utf8PathBuf};
use memchr::memmem;
use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprBlock, ExprLit, ImplItem, Item, ItemForeignMod, ItemMod, Lit, Macro, Meta};

use super::LinkBlock;
use super::package_files::PackageFiles;
use super::rust::{attributes, cfg_text, cfgs, each_meta, items_of_macro, metas_of, parse, text_of};

/// How many modules within each other are followed to the root.
const DEEPEST: usize = 16;

/// The blocks in some files of a package. `roots` are those of its library and binaries, where its module tree begins. Files
/// that cannot be read, or hold more than 5 MB, have none.
pub(super) fn read(package: &PackageFiles, roots: &[Utf8PathBuf], files: &[Utf8PathBuf]) -> Vec<LinkBlock> {
    let mut declarations = Declarations { package, roots, files: HashMap::new() };
    let mut found: Vec<LinkBlock> = Vec::new();
    for path in files {
        let text = package.read(path).ok().filter(|text| may_link(text));
        let Some(text) = text.and_then(|text| String::from_utf8(text).ok()) else { continue };
        let mut blocks = in_source(&text, package.shown(path).as_str());
        if !blocks.is_empty() {
            let outer = declarations.cfgs_of(path);
            blocks.iter_mut().for_each(|block| add(&mut block.cfgs, &outer));
        }
        for block in blocks {
            let same =
                |other: &LinkBlock| other.name == block.name && other.kind == block.kind && other.cfgs == block.cfgs;
            if !found.iter().any(same) {
                found.push(block);
            }
        }
    }
    found
}

/// Whether a source may hold such a block. Parsing costs; few do.
fn may_link(text: &[u8]) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let begins = |at: usize| {
        let before = at.checked_sub(1).is_some_and(|at| word(text[at]));
        let after = text[at + 4..].trim_ascii_start();
        // Not `symlink(a, b)`, and its members in any order.
        let inside = after.strip_prefix(b"(").map(<[u8]>::trim_ascii_start);
        let known: [&[u8]; 5] = [b"name", b"kind", b"modifiers", b"wasm_import_module", b"import_name_type"];
        !before && inside.is_some_and(|inside| known.iter().any(|known| inside.starts_with(known)))
    };
    memmem::find_iter(text, "link").any(begins) && memmem::find(text, b"extern").is_some()
}

/// The blocks of one source; none where it does not parse.
fn in_source(text: &str, path: &str) -> Vec<LinkBlock> {
    let Ok(file) = parse(text) else { return Vec::new() };
    let mut walk = Walk { path, cfgs: texts(&cfgs(&file.attrs)), found: Vec::new() };
    walk.visit_file(&file);
    walk.found
}

struct Walk<'p> {
    path: &'p str,
    cfgs: Vec<String>,
    found: Vec<LinkBlock>,
}

impl Walk<'_> {
    fn under(&mut self, attributes: &[Attribute], walk: impl FnOnce(&mut Self)) {
        let depth = self.cfgs.len();
        let own = texts(&cfgs(attributes));
        add(&mut self.cfgs, &own);
        walk(self);
        self.cfgs.truncate(depth);
    }

    fn link(&mut self, conditions: &[Meta], meta: &Meta, span: Span) {
        let Meta::List(list) = meta else { return };
        if !list.path.is_ident("link") {
            return;
        }
        let members = metas_of(list);
        let text = |key: &str| members.iter().find_map(|meta| text_of(meta, key));
        // One for WebAssembly has a module instead of a name.
        let Some(name) = text("name").filter(|name| !name.is_empty()) else { return };
        let mut cfgs = self.cfgs.clone();
        add(&mut cfgs, &texts(conditions));
        cfgs.extend(members.iter().filter_map(|meta| match meta {
            Meta::List(list) if list.path.is_ident("cfg") => metas_of(list).first().map(text_of_cfg),
            _ => None,
        }));
        self.found.push(LinkBlock {
            name,
            kind: text("kind").unwrap_or_else(|| "dylib".to_owned()),
            cfgs,
            place: format!("{}:{}", self.path, span.start().line),
        });
    }
}

impl<'a> Visit<'a> for Walk<'_> {
    fn visit_item(&mut self, item: &'a Item) {
        self.under(attributes(item), |walk| visit::visit_item(walk, item));
    }

    fn visit_impl_item(&mut self, item: &'a ImplItem) {
        let attributes = if let ImplItem::Fn(function) = item { &function.attrs[..] } else { &[] };
        self.under(attributes, |walk| visit::visit_impl_item(walk, item));
    }

    fn visit_expr_block(&mut self, block: &'a ExprBlock) {
        self.under(&block.attrs, |walk| visit::visit_expr_block(walk, block));
    }

    fn visit_item_foreign_mod(&mut self, block: &'a ItemForeignMod) {
        let span = block.abi.extern_token.span;
        each_meta(&block.attrs, &mut |conditions, meta| self.link(conditions, meta, span));
    }

    fn visit_macro(&mut self, call: &'a Macro) {
        items_of_macro(call).iter().for_each(|item| self.visit_item(item));
    }
}

fn text_of_cfg(meta: &Meta) -> String {
    format!("cfg({})", cfg_text(meta))
}

fn texts(metas: &[Meta]) -> Vec<String> {
    metas.iter().map(text_of_cfg).collect()
}

fn add(cfgs: &mut Vec<String>, more: &[String]) {
    for cfg in more {
        if !cfgs.contains(cfg) {
            cfgs.push(cfg.clone());
        }
    }
}

/// A condition that nobody can decide: no `mod` was found that declares the file.
const UNDECLARED: &str = "cfg(undeclared)";

/// Where the modules of a package are declared.
struct Declarations<'r> {
    package: &'r PackageFiles,
    roots: &'r [Utf8PathBuf],
    /// For each file read so far, its own conditions and the modules that it declares.
    files: HashMap<Utf8PathBuf, Option<Declared>>,
}

#[derive(Clone, Default)]
struct Declared {
    cfgs: Vec<String>,
    modules: Vec<(String, Vec<String>)>,
}

impl Declarations<'_> {
    /// What must hold for a file to be part of the package, as far as its name leads to the `mod` that declares it.
    fn cfgs_of(&mut self, path: &Utf8Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut path = path.to_owned();
        for _ in 0..DEEPEST {
            if self.roots.contains(&path) {
                break;
            }
            let Some((parent, cfgs)) = self.declaration(&path) else {
                // It may be part of the package on some targets, or on none.
                add(&mut found, &[UNDECLARED.to_owned()]);
                break;
            };
            add(&mut found, &cfgs);
            path = parent;
        }
        found
    }

    /// The file that declares another as its module, and the conditions there.
    fn declaration(&mut self, path: &Utf8Path) -> Option<(Utf8PathBuf, Vec<String>)> {
        let folder = path.parent()?;
        let (name, folder) = match path.file_stem()? {
            "mod" => (folder.file_name()?, folder.parent()?),
            name => (name, folder),
        };
        let inside = self.roots.iter().filter(|root| root.parent() == Some(folder)).cloned();
        let mut parents: Vec<Utf8PathBuf> = inside.collect();
        parents.push(folder.join("mod.rs"));
        parents.push(folder.with_extension("rs"));
        for parent in parents.into_iter().filter(|parent| parent != path) {
            let declared = self.files.entry(parent.clone()).or_insert_with(|| declared(self.package, &parent)).clone();
            let Some(declared) = declared else { continue };
            let Some((_, cfgs)) = declared.modules.iter().find(|(module, _)| module == name) else { continue };
            let mut all = declared.cfgs.clone();
            add(&mut all, cfgs);
            return Some((parent, all));
        }
        None
    }
}

/// The modules that a file declares, each with its conditions; declared twice, either will do.
fn declared(package: &PackageFiles, path: &Utf8Path) -> Option<Declared> {
    let file = parse(&package.read_text(path).ok()?).ok()?;
    let mut found: Vec<(String, Vec<Vec<String>>)> = Vec::new();
    let mut open: Vec<(Vec<String>, Item)> = file.items.into_iter().rev().map(|item| (Vec::new(), item)).collect();
    while let Some((mut outer, item)) = open.pop() {
        add(&mut outer, &texts(&cfgs(attributes(&item))));
        match item {
            Item::Mod(ItemMod { ident, content: None, attrs, .. }) => {
                // A file of another name may stand for it, on some targets another one than on others.
                let mut ways: Vec<(String, Vec<String>)> = Vec::new();
                each_meta(&attrs, &mut |conditions, meta| {
                    if let Some(file) = path_of(meta) {
                        let mut way = outer.clone();
                        add(&mut way, &texts(conditions));
                        ways.push((file, way));
                    }
                });
                ways.push((ident.unraw().to_string(), outer));
                for (name, way) in ways {
                    match found.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, ways)) => ways.push(way),
                        None => found.push((name, vec![way])),
                    }
                }
            }
            Item::Macro(call) => {
                open.extend(items_of_macro(&call.mac).into_iter().rev().map(|item| (outer.clone(), item)));
            }
            _ => {}
        }
    }
    let modules = found.into_iter().map(|(name, ways)| (name, either(ways))).collect();
    Some(Declared { cfgs: texts(&cfgs(&file.attrs)), modules })
}

/// The file in a `path = "file.rs"` beside the declaring one, without its extension.
fn path_of(meta: &Meta) -> Option<String> {
    let Meta::NameValue(pair) = meta else { return None };
    let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = &pair.value else { return None };
    let stem = text.value().strip_suffix(".rs")?.to_owned();
    (pair.path.is_ident("path") && !stem.contains('/')).then_some(stem)
}

/// One way's conditions, or a single one that holds where those of any way do.
fn either(mut ways: Vec<Vec<String>>) -> Vec<String> {
    if ways.len() == 1 {
        return ways.remove(0);
    }
    if ways.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    let bare = |cfg: &String| cfg.strip_prefix("cfg(").and_then(|cfg| cfg.strip_suffix(')')).unwrap_or(cfg).to_owned();
    let way = |way: &Vec<String>| match way.as_slice() {
        [one] => bare(one),
        many => format!("all({})", many.iter().map(bare).collect::<Vec<_>>().join(", ")),
    };
    vec![format!("cfg(any({}))", ways.iter().map(way).collect::<Vec<_>>().join(", "))]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::project::evidence::Source;

    fn package(files: &[(&str, &str)], roots: &[&str]) -> Vec<LinkBlock> {
        let dir = tempfile::tempdir().unwrap();
        let dir = Utf8Path::from_path(dir.path()).unwrap();
        let mut paths = Vec::new();
        for (path, text) in files {
            let path = dir.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(&path, text).unwrap();
            paths.push(path);
        }
        let roots: Vec<Utf8PathBuf> = roots.iter().map(|root| dir.join(root)).collect();
        let files = PackageFiles::of(&Source { dir: dir.to_owned(), ..Source::default() });
        read(&files, &roots, &paths)
    }

    fn shown(blocks: &[LinkBlock]) -> Vec<String> {
        let cfgs = |block: &LinkBlock| block.cfgs.join(" & ").replace('"', "'");
        blocks.iter().map(|block| format!("{} {} {} {}", block.place, block.kind, block.name, cfgs(block))).collect()
    }

    #[test]
    fn blocks_with_what_is_around_them() {
        // As core-foundation-sys and security-framework-sys.
        let text = r#"
            #![cfg(target_vendor = "apple")]
            #[cfg_attr(all(any(target_os = "macos", target_os = "ios"), feature = "link"), link(name = "CoreFoundation", kind = "framework"))]
            extern "C" {}
            #[cfg(unix)]
            mod sys {
                #[link(name = "z")]
                #[cfg(not(feature = "static"))]
                unsafe extern "C" { fn f(); }
                fn inside() { unsafe { #[link(name = "m", kind = "static")] extern "C" {} } }
            }
            cfg_if::cfg_if! {
                if #[cfg(windows)] { #[link(name = "ws2_32", kind = "raw-dylib")] extern "system" {} }
                else { #[link(kind = "dylib", name = "c")] extern "C" {} }
            }
            macro_rules! link { ($n:expr) => { #[link(name = "never")] extern "C" {} } }
            #[link(wasm_import_module = "env")] extern "C" {}
            #[link(name = "z")] extern "C" { fn plain(); }
        "#;
        assert_eq!(
            shown(&package(&[("src/lib.rs", text)], &["src/lib.rs"])),
            [
                "src/lib.rs:4 framework CoreFoundation cfg(target_vendor = 'apple') & \
             cfg(all(any(target_os = 'macos', target_os = 'ios'), feature = 'link'))",
                "src/lib.rs:9 dylib z cfg(target_vendor = 'apple') & cfg(unix) & cfg(not(feature = 'static'))",
                "src/lib.rs:10 static m cfg(target_vendor = 'apple') & cfg(unix)",
                "src/lib.rs:13 raw-dylib ws2_32 cfg(target_vendor = 'apple') & cfg(windows)",
                "src/lib.rs:14 dylib c cfg(target_vendor = 'apple') & cfg(not(windows))",
                "src/lib.rs:18 dylib z cfg(target_vendor = 'apple')",
            ]
        );
    }

    #[test]
    fn modules_in_files_have_the_conditions_of_their_declaration() {
        let block = "#[link(name = \"x\")] extern \"C\" {}";
        let found = package(
            &[
                ("src/lib.rs", "#[cfg(unix)] mod a; #[cfg(windows)] mod c; #[cfg(target_os = \"wasi\")] mod c;"),
                ("src/a/mod.rs", "#![cfg(feature = \"a\")] #[cfg(target_os = \"linux\")] pub mod b;"),
                ("src/a/b.rs", block),
                ("src/c.rs", block),
                ("src/bin/tool.rs", block),
                ("src/lost.rs", block),
            ],
            &["src/lib.rs", "src/bin/tool.rs"],
        );
        assert_eq!(
            shown(&found),
            [
                "src/a/b.rs:1 dylib x cfg(feature = 'a') & cfg(target_os = 'linux') & cfg(unix)",
                "src/c.rs:1 dylib x cfg(any(windows, target_os = 'wasi'))",
                "src/bin/tool.rs:1 dylib x ",
                "src/lost.rs:1 dylib x cfg(undeclared)",
            ]
        );
    }

    #[test]
    fn only_sources_that_may_have_a_block_are_parsed() {
        for text in [
            "#[link(name = \"a\")] extern {}",
            "#[cfg_attr(x, link( kind = \"a\"))] extern \"C\" {}",
            "link\n(\n name extern",
        ] {
            assert!(may_link(text.as_bytes()), "{text}");
        }
        for text in
            ["symlink(name) extern", "hard_link(name) extern", "link(a, b) extern", "#[link(name = \"a\")]", "link"]
        {
            assert!(!may_link(text.as_bytes()), "{text}");
        }
        assert_eq!(in_source("#[link(name = \"a\")] extern \"C\" { fn ( }", "a.rs"), []);
    }

    proptest! {
        #[test]
        fn no_source_panics(text in "(extern|#\\[link\\(|name = \"x\"|\\)\\]|cfg_attr\\(|[{}()=,;!]|mod |[a-z ]|\\PC){0,40}") {
            may_link(text.as_bytes());
            in_source(&text, "a.rs");
        }
    }
}
