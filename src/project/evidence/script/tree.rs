//! The files of a build script, put into one tree: `mod x;` and `include!` are replaced by what they name.

use std::collections::HashMap;

use camino::{Utf8Path, Utf8PathBuf};
use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::token::Brace;
use syn::{Attribute, Item, ItemMod, LitStr, Meta};

use crate::project::evidence::package_files::PackageFiles;
use crate::project::evidence::rust::{self, LARGEST, cfg_attribute, each_meta, items_of_macro, text_of};

/// Files beyond which a script is not followed.
const MOST_FILES: usize = 200;

/// A build script with its files.
pub(super) struct Tree<'f> {
    /// Its items.
    pub items: Vec<Item>,
    /// The files that were read, also those that are missing, in order.
    pub read: Vec<Utf8PathBuf>,
    /// What could not be read, in sentences.
    pub failed: Vec<String>,
    /// Whether one of its files speaks of pkg-config's crate.
    pub mentions_pkg_config: bool,
    /// The path of each source, by the name that spans have for it.
    names: HashMap<String, Utf8PathBuf>,
    /// The package's files.
    pub files: &'f PackageFiles,
    bytes: usize,
    /// The files that are being read: one that includes itself is read once.
    open: Vec<Utf8PathBuf>,
}

/// Where modules of a file are looked for.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    /// The folder that the file is in.
    file: &'a Utf8Path,
    /// The folder that `#[path]` begins in: within a module in braces not the file's.
    folder: &'a Utf8Path,
    /// The folder of the files of its modules.
    modules: &'a Utf8Path,
}

impl<'f> Tree<'f> {
    /// Reads a build script.
    pub(crate) fn load(files: &'f PackageFiles, script: &Utf8Path) -> Self {
        let mut tree = Self {
            items: Vec::new(),
            read: Vec::new(),
            failed: Vec::new(),
            mentions_pkg_config: false,
            names: HashMap::new(),
            files,
            bytes: 0,
            open: Vec::new(),
        };
        let folder = script.parent().unwrap_or(files.dir());
        let place = Place { file: folder, folder, modules: folder };
        tree.items = tree.file(script, place).unwrap_or_default();
        tree
    }

    /// File and line of something in it.
    pub(crate) fn place(&self, span: Span) -> String {
        let path = self.names.get(&span.file()).map_or("", |path| path.as_str());
        format!("{path}:{}", span.start().line)
    }

    /// The items of a file; none where it cannot be read, which is noted.
    fn file(&mut self, path: &Utf8Path, place: Place<'_>) -> Option<Vec<Item>> {
        if self.open.iter().any(|open| open == path) {
            return None;
        }
        self.read.push(path.to_owned());
        let text = self.text(path);
        self.mentions_pkg_config |= text.as_ref().is_ok_and(|text| text.contains("pkg_config"));
        match text.and_then(|text| rust::parse_named(&text)) {
            Ok((file, name)) => {
                self.names.insert(name, self.files.shown(path).to_owned());
                self.open.push(path.to_owned());
                let items = self.resolved(file.items, place);
                self.open.pop();
                Some(items)
            }
            Err(reason) => {
                self.failed.push(format!("{}: {reason}", self.files.shown(path)));
                None
            }
        }
    }

    fn text(&mut self, path: &Utf8Path) -> Result<String, String> {
        if self.read.len() > MOST_FILES {
            return Err("the build script has too many files".to_owned());
        }
        let text = self.files.read_text(path)?;
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes as u64 > LARGEST {
            return Err("the build script is larger than 5 MB".to_owned());
        }
        Ok(text)
    }

    fn resolved(&mut self, items: Vec<Item>, place: Place<'_>) -> Vec<Item> {
        let mut found = Vec::new();
        for item in items {
            match item {
                Item::Mod(module) if module.content.is_some() => found.push(self.inline(module, place)),
                Item::Mod(module) => found.extend(self.files(&module, place)),
                Item::Macro(call) if call.mac.path.is_ident("include") => {
                    // Only a literal tells where; what is generated is elsewhere.
                    let Ok(path) = call.mac.parse_body::<LitStr>() else { continue };
                    let path = place.file.join(path.value());
                    let folder = path.parent().unwrap_or(place.file).to_owned();
                    let place = Place { file: &folder, ..place };
                    found.extend(self.file(&path, place).unwrap_or_default());
                }
                Item::Macro(call) => {
                    let items = items_of_macro(&call.mac);
                    found.extend(self.resolved(items, place));
                }
                other => found.push(other),
            }
        }
        found
    }

    fn inline(&mut self, module: ItemMod, place: Place<'_>) -> Item {
        let below = match paths(&module.attrs).first() {
            Some((_, path)) => place.folder.join(path),
            None => place.modules.join(module.ident.unraw().to_string()),
        };
        let content = module.content.map(|(brace, items)| {
            (brace, self.resolved(items, Place { file: place.file, folder: &below, modules: &below }))
        });
        Item::Mod(ItemMod { content, ..module })
    }

    /// A module in a file of its own; several where `#[cfg_attr(…, path = …)]` names several files.
    fn files(&mut self, module: &ItemMod, place: Place<'_>) -> Vec<Item> {
        let name = module.ident.unraw().to_string();
        let named = paths(&module.attrs);
        let mut files: Vec<(Option<Meta>, Utf8PathBuf, Utf8PathBuf)> = Vec::new();
        for (condition, path) in &named {
            let path = place.folder.join(path);
            let modules = path.parent().unwrap_or(place.folder).to_owned();
            files.push((condition.clone(), path, modules));
        }
        if named.iter().all(|(condition, _)| condition.is_some()) {
            let folder = place.modules.join(&name);
            let (file, inside) = (place.modules.join(format!("{name}.rs")), folder.join("mod.rs"));
            let path = if !self.files.is_file(&file) && self.files.is_file(&inside) { inside } else { file };
            files.push((None, path, folder));
        }
        // Under a condition a file may have been left out of the package.
        let gated = !named.is_empty() || module.attrs.iter().any(|attribute| attribute.path().is_ident("cfg"));
        let mut found = Vec::new();
        for (condition, path, modules) in files {
            if gated && !self.files.exists(&path) {
                self.read.push(path);
                continue;
            }
            let folder = path.parent().unwrap_or(place.folder).to_owned();
            let Some(items) = self.file(&path, Place { file: &folder, folder: &folder, modules: &modules }) else {
                continue;
            };
            let mut attrs = module.attrs.clone();
            attrs.extend(condition.iter().flat_map(cfg_attribute));
            found.push(Item::Mod(ItemMod { attrs, content: Some((Brace::default(), items)), ..module.clone() }));
        }
        found
    }
}

/// The paths that `#[path = …]` names, with their conditions.
fn paths(attributes: &[Attribute]) -> Vec<(Option<Meta>, String)> {
    let mut found = Vec::new();
    each_meta(attributes, &mut |conditions, meta| {
        found.extend(text_of(meta, "path").map(|path| (conditions.first().cloned(), path)));
    });
    found
}
