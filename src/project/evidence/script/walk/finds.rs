//! What is found on the way.

use camino::{Utf8Component, Utf8Path};
use proc_macro2::Span;

use super::{MOST_CALLS, Walk};
use crate::project::evidence::script::value::Value;
use crate::project::evidence::{Call, Guard, What};

impl Walk<'_> {
    pub(super) fn find(&mut self, what: What, span: Span) -> usize {
        if !self.is_dead() && self.calls.len() < MOST_CALLS {
            let guards = Guard::all(self.path.iter().cloned());
            if guards != Guard::NEVER {
                let place = self.tree.place(span);
                self.calls.push(Call { what, guards: guards.into_list(), place });
                return self.calls.len() - 1;
            }
        }
        usize::MAX
    }

    /// A text under its conditions.
    fn find_each(&mut self, texts: Vec<(Guard, String)>, span: Span, what: &dyn Fn(String) -> Option<What>) {
        for (condition, text) in texts {
            if let Some(what) = what(text) {
                self.under(&condition, |walk| walk.find(what, span));
            }
        }
    }

    pub(super) fn library(&mut self, name: &Value, span: Span) -> Value {
        let texts = name.texts();
        if texts.is_empty() {
            return Value::Library(self.find(What::PkgConfig { name: None, optional: true }, span), None);
        }
        let values = texts.into_iter().map(|(condition, name)| {
            let what = What::PkgConfig { name: Some(name.clone()), optional: true };
            let index = self.under(&condition, |walk| walk.find(what, span));
            (condition, Value::Library(index, Some(name)))
        });
        Value::either(values.collect())
    }

    pub(super) fn command(&mut self, name: &Value, span: Span) {
        self.find_each(name.texts(), span, &|name| {
            let own = ["rustc", "cargo", "rustdoc", ""].contains(&name.as_str());
            (!own).then_some(What::Command(name))
        });
    }

    /// Whether a path is there. What belongs to the package can be looked up now.
    pub(super) fn exists(&mut self, path: &Value) -> Guard {
        let Value::Text(path) = path else { return Guard::Unknown };
        let path = Utf8Path::new(path);
        let inside = |part| matches!(part, Utf8Component::Normal(_) | Utf8Component::CurDir);
        if !path.components().all(inside) {
            return Guard::Unknown;
        }
        let files = self.tree.files;
        if files.exists(&files.dir().join(path)) { Guard::ALWAYS } else { Guard::NEVER }
    }

    /// What a printed line tells cargo to link.
    pub(super) fn printed(&mut self, text: &Value, span: Span) {
        for (condition, text) in text.texts() {
            for line in text.lines() {
                let Some(line) = line.strip_prefix("cargo::").or_else(|| line.strip_prefix("cargo:")) else { continue };
                let libraries: Vec<&str> = match line.split_once('=') {
                    Some(("rustc-link-lib", library)) => vec![library],
                    Some(("rustc-flags", flags)) => {
                        let words: Vec<&str> = flags.split_whitespace().collect();
                        let apart = words.windows(2).filter(|pair| pair[0] == "-l").map(|pair| pair[1]);
                        apart.chain(words.iter().filter_map(|word| word.strip_prefix("-l"))).collect()
                    }
                    _ => continue,
                };
                for library in libraries {
                    let (kind, name) = library.split_once('=').unwrap_or(("", library));
                    // Modifiers follow the kind, a new name the old one.
                    let kind = kind.split(':').next().unwrap_or_default();
                    let name = name.split(':').next().unwrap_or_default();
                    if !name.is_empty() {
                        let what = What::LinkLib { kind: kind.to_owned(), name: name.to_owned() };
                        self.under(&condition, |walk| walk.find(what, span));
                    }
                }
            }
        }
    }
}
