//! What the names in a build script stand for: functions, imports, constants.

use std::collections::{BTreeSet, HashMap};

use syn::ext::IdentExt;
use syn::visit::{self, Visit};
use syn::{Block, Expr, FnArg, ImplItem, Item, ItemFn, ItemUse, Pat, Path, Signature, Stmt, TraitItem, UseTree};

use super::Guard;
use super::tree::Tree;
use crate::project::evidence::guard;
use crate::project::evidence::rust::{attributes, cfgs};

/// A function of the script.
pub(super) struct Function<'a> {
    /// Modules, the type for a method, and its own name.
    pub path: Vec<String>,
    /// The module it is in.
    pub module: usize,
    /// Whether it belongs to a type.
    pub method: bool,
    /// Whether a trait asks for it: then others may call it.
    pub for_trait: bool,
    /// Its parameters, without `self`.
    pub parameters: Vec<&'a Pat>,
    /// What it does.
    pub body: &'a Block,
    /// Where it is compiled at all.
    pub cfg: Guard,
}

#[derive(Default)]
struct Module {
    path: Vec<String>,
    parent: usize,
    /// Imported names → the path each stands for.
    imports: HashMap<String, Vec<String>>,
}

/// The names of a build script.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// Its functions.
    pub functions: Vec<Function<'a>>,
    by_name: HashMap<String, Vec<usize>>,
    modules: Vec<Module>,
    constants: HashMap<String, &'a Expr>,
}

impl<'a> Names<'a> {
    /// Of a script.
    pub(crate) fn of(tree: &'a Tree<'_>) -> Names<'a> {
        let mut names = Names { modules: vec![Module::default()], ..Names::default() };
        names.items(&tree.items, 0, &Guard::ALWAYS);
        for (index, function) in names.functions.iter().enumerate() {
            let name = function.path.last().cloned().unwrap_or_default();
            names.by_name.entry(name).or_default().push(index);
        }
        names
    }

    /// The function that cargo starts; several where the configuration chooses between them.
    pub(crate) fn mains(&self) -> Vec<usize> {
        (0..self.functions.len()).filter(|index| self.functions[*index].path == ["main"]).collect()
    }

    /// The literal or other expression of a constant.
    pub(crate) fn constant(&self, name: &str) -> Option<&'a Expr> {
        self.constants.get(name).copied()
    }

    /// A path with its imports followed, without `crate`, `self` and `super`.
    pub(crate) fn full_path(&self, path: &Path, module: usize) -> Vec<String> {
        let mut segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect();
        let mut seen = BTreeSet::new();
        while let Some(first) = segments.first().filter(|first| seen.insert((*first).clone())) {
            let Some(target) = self.import(first, module) else { break };
            segments.splice(0..1, target.iter().cloned());
        }
        segments.retain(|segment| !["crate", "self", "super", "Self"].contains(&segment.as_str()));
        segments
    }

    fn import(&self, name: &str, module: usize) -> Option<&Vec<String>> {
        let mut at = module;
        // A module sees its parents' names by `use super::*` only, but has none of its own that would be hidden so.
        loop {
            if let Some(target) = self.modules[at].imports.get(name) {
                return Some(target);
            }
            if at == 0 {
                return None;
            }
            at = self.modules[at].parent;
        }
    }

    /// The functions that a full path may name; several where the configuration chooses between them.
    pub(crate) fn resolve(&self, path: &[String], module: usize) -> Vec<usize> {
        let Some(named) = path.last().and_then(|name| self.by_name.get(name)) else { return Vec::new() };
        let filtered = |test: &dyn Fn(&Function<'_>) -> bool| -> Vec<usize> {
            named.iter().copied().filter(|index| test(&self.functions[*index])).collect()
        };
        if path.len() == 1 {
            let near = filtered(&|function| !function.method && function.module == module);
            return if near.is_empty() { filtered(&|function| !function.method) } else { near };
        }
        let exact = filtered(&|function| function.path.ends_with(path));
        if !exact.is_empty() {
            return exact;
        }
        // Handed on by `pub use`: the path leaves modules out.
        filtered(&|function| {
            let mut rest = function.path.iter();
            path.iter().all(|segment| rest.any(|other| other == segment))
        })
    }

    /// Whether a full path names a function of the script, with all of its modules.
    pub(crate) fn is_own(&self, path: &[String]) -> bool {
        let named = path.last().and_then(|name| self.by_name.get(name)).into_iter().flatten();
        named.into_iter().any(|index| self.functions[*index].path.ends_with(path))
    }

    /// The methods of this name.
    pub(crate) fn methods(&self, name: &str) -> Vec<usize> {
        let named = self.by_name.get(name).into_iter().flatten().copied();
        named.filter(|index| self.functions[*index].method).collect()
    }

    fn items(&mut self, items: &'a [Item], module: usize, outer: &Guard) {
        for item in items {
            self.item(item, module, outer);
        }
    }

    fn item(&mut self, item: &'a Item, module: usize, outer: &Guard) {
        let own = cfgs(attributes(item));
        let cfg = Guard::all(std::iter::once(outer.clone()).chain(own.iter().map(guard::of_cfg)));
        match item {
            Item::Fn(ItemFn { sig, block, .. }) => self.function(sig, block, None, false, module, &cfg),
            Item::Mod(inner) => {
                let mut path = self.modules[module].path.clone();
                path.push(inner.ident.unraw().to_string());
                self.modules.push(Module { path, parent: module, imports: HashMap::new() });
                let index = self.modules.len() - 1;
                let content = inner.content.as_ref().map_or(&[][..], |(_, content)| content);
                self.items(content, index, &cfg);
            }
            Item::Impl(block) => {
                let type_name = match &*block.self_ty {
                    syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
                    _ => None,
                };
                for item in &block.items {
                    if let ImplItem::Fn(function) = item {
                        let own = cfgs(&function.attrs);
                        let cfg = Guard::all(std::iter::once(cfg.clone()).chain(own.iter().map(guard::of_cfg)));
                        let owner = Some(type_name.as_deref().unwrap_or_default());
                        self.function(&function.sig, &function.block, owner, block.trait_.is_some(), module, &cfg);
                    }
                }
            }
            Item::Trait(block) => {
                for item in &block.items {
                    if let TraitItem::Fn(function) = item
                        && let Some(body) = &function.default
                    {
                        let owner = block.ident.to_string();
                        self.function(&function.sig, body, Some(&owner), true, module, &cfg);
                    }
                }
            }
            Item::Use(import) => self.imports(import, module),
            Item::ExternCrate(import) => {
                if let Some((_, name)) = &import.rename {
                    let target = vec![import.ident.unraw().to_string()];
                    self.modules[module].imports.insert(name.to_string(), target);
                }
            }
            Item::Const(constant) => {
                self.constants.insert(constant.ident.to_string(), &constant.expr);
            }
            Item::Static(constant) => {
                self.constants.insert(constant.ident.to_string(), &constant.expr);
            }
            _ => {}
        }
    }

    fn imports(&mut self, import: &ItemUse, module: usize) {
        let mut open = vec![(Vec::new(), &import.tree)];
        while let Some((mut path, tree)) = open.pop() {
            match tree {
                UseTree::Path(part) => {
                    path.push(part.ident.unraw().to_string());
                    open.push((path, &*part.tree));
                }
                UseTree::Group(group) => open.extend(group.items.iter().map(|tree| (path.clone(), tree))),
                UseTree::Name(name) if name.ident == "self" => {
                    if let Some(last) = path.last().cloned() {
                        self.modules[module].imports.insert(last, path);
                    }
                }
                UseTree::Name(name) => {
                    let name = name.ident.unraw().to_string();
                    path.push(name.clone());
                    self.modules[module].imports.insert(name, path);
                }
                UseTree::Rename(rename) => {
                    path.push(rename.ident.unraw().to_string());
                    self.modules[module].imports.insert(rename.rename.unraw().to_string(), path);
                }
                UseTree::Glob(_) => {}
            }
        }
    }

    fn function(
        &mut self,
        signature: &'a Signature,
        body: &'a Block,
        owner: Option<&str>,
        for_trait: bool,
        module: usize,
        cfg: &Guard,
    ) {
        let mut path = self.modules[module].path.clone();
        path.extend(owner.map(str::to_owned));
        path.push(signature.ident.unraw().to_string());
        let parameters = signature.inputs.iter().filter_map(|input| match input {
            FnArg::Typed(input) => Some(&*input.pat),
            FnArg::Receiver(_) => None,
        });
        let parameters = parameters.collect();
        let method = owner.is_some();
        self.functions.push(Function { path, module, method, for_trait, parameters, body, cfg: cfg.clone() });
        // Items in its body are seen from there alone, but their names seldom meet.
        let mut inner = Inner::default();
        inner.visit_block(body);
        for item in inner.items {
            self.item(item, module, cfg);
        }
    }
}

/// The items in a body, not those in a function there.
#[derive(Default)]
struct Inner<'a> {
    items: Vec<&'a Item>,
}

impl<'a> Visit<'a> for Inner<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Item(item) => self.items.push(item),
            other => visit::visit_stmt(self, other),
        }
    }
}
