//! What conditions of needs are evaluated with: a target, the features of a package, the environment.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use cfg_expr::targets::{TargetInfo, get_builtin_target_by_triple};
use cfg_expr::{Expression, Predicate};

use crate::model::catalog::in_capitals;

/// The side of a build that a package is on, and what its build script will see.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The triple that the side is compiled for.
    pub triple: &'a str,
    info: Option<&'static TargetInfo>,
    host: &'a str,
    /// Environment variables.
    pub env: &'a BTreeMap<String, String>,
}

/// What stands for a triple in the name of a variable.
const TARGET: &str = "{TARGET}";

/// Those of the variables that a table names which are set: a name with `{TARGET}` means one for each target.
pub(crate) fn set_of<'a>(
    names: impl IntoIterator<Item = &'a String>,
    set: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for name in names {
        match name.split_once(TARGET) {
            None => found.extend(set.get_key_value(name).map(|(name, value)| (name.clone(), value.clone()))),
            Some((before, after)) => {
                let ours = |name: &str| {
                    name.len() > before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
                };
                found.extend(
                    set.iter().filter(|(name, _)| ours(name)).map(|(name, value)| (name.clone(), value.clone())),
                );
            }
        }
    }
    found
}

/// A condition whose truth may not be known before the build runs.
pub(crate) type Ternary = Option<bool>;

impl<'a> Circumstances<'a> {
    /// For the side compiled for `triple`, on a machine that is `host`.
    pub fn new(triple: &'a str, host: &'a str, env: &'a BTreeMap<String, String>) -> Self {
        Self { triple, info: get_builtin_target_by_triple(triple), host, env }
    }

    /// Whether a `cfg(…)` expression holds. Flags that rustc or a build script sets are not known.
    pub fn holds(&self, expression: &Expression, features: &BTreeSet<String>) -> Ternary {
        evaluate(expression, self.info, features)
    }

    /// Whether a `cfg(…)` expression holds for the target, or a triple is its own.
    pub fn target_is(&self, text: &str, features: &BTreeSet<String>) -> Ternary {
        is(text, self.triple, self.info, features)
    }

    /// The same for this machine.
    pub fn host_is(&self, text: &str, features: &BTreeSet<String>) -> Ternary {
        is(text, self.host, get_builtin_target_by_triple(self.host), features)
    }

    /// Whether the side is of another architecture or another operating system than this machine.
    pub fn cross(&self) -> bool {
        let host = get_builtin_target_by_triple(self.host);
        let same = |one: &TargetInfo, other: &TargetInfo| one.arch == other.arch && one.os == other.os;
        self.triple != self.host && !self.info.zip(host).is_some_and(|(info, host)| same(info, host))
    }

    /// Whether `NAME` is set, or `NAME=value` has that value. `{TARGET}` is the side's triple, in capitals and underscores.
    pub fn is_set(&self, text: &str) -> bool {
        let text = &*self.named(text);
        match text.split_once('=') {
            Some((name, value)) => self.env.get(name).is_some_and(|set| set == value),
            None => self.env.contains_key(text),
        }
    }

    /// A name of a variable, with the side's triple for `{TARGET}`.
    pub fn named<'b>(&self, text: &'b str) -> Cow<'b, str> {
        match text.contains(TARGET) {
            true => text.replace(TARGET, &in_capitals(self.triple)).into(),
            false => text.into(),
        }
    }

    /// The target's operating system, as `cfg(target_os)` says it; empty where it is not known.
    pub fn os(&self) -> &str {
        self.info.and_then(|info| info.os.as_ref()).map(|os| os.as_str()).unwrap_or_default()
    }
}

fn is(text: &str, triple: &str, info: Option<&TargetInfo>, features: &BTreeSet<String>) -> Ternary {
    if !text.starts_with("cfg(") {
        return Some(text == triple);
    }
    evaluate(&Expression::parse(text).ok()?, info, features)
}

fn evaluate(expression: &Expression, info: Option<&TargetInfo>, features: &BTreeSet<String>) -> Ternary {
    expression.eval(|predicate| match predicate {
        Predicate::Target(target) => info.map(|info| target.matches(info)),
        Predicate::Feature(name) => Some(features.contains(*name)),
        Predicate::Test | Predicate::ProcMacro => Some(false),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_may_be_one_of_a_targets_own() {
        let text = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), String::new())).collect();
        let all: BTreeMap<String, String> =
            text(&["X86_64_UNKNOWN_LINUX_MUSL_OPENSSL_DIR", "OTHER_LIB_DIR", "PQ_LIB_DIR_A", "_OPENSSL_DIR"]);
        let names = ["{TARGET}_OPENSSL_DIR", "OPENSSL_DIR", "PQ_LIB_DIR_{TARGET}"].map(str::to_owned);
        let set = set_of(&names, &all);
        assert_eq!(set.keys().collect::<Vec<_>>(), ["PQ_LIB_DIR_A", "X86_64_UNKNOWN_LINUX_MUSL_OPENSSL_DIR"]);
        let is = |triple: &str| Circumstances::new(triple, "a", &set).is_set("{TARGET}_OPENSSL_DIR");
        assert!(is("x86_64-unknown-linux-musl") && !is("aarch64-unknown-linux-musl"));
        assert!(Circumstances::new("a", "a", &set).is_set("PQ_LIB_DIR_{TARGET}"));
    }

    #[test]
    fn cross_is_another_architecture_or_another_system() {
        let env = BTreeMap::new();
        let cross = |triple: &str| Circumstances::new(triple, "x86_64-unknown-linux-gnu", &env).cross();
        assert!(!cross("x86_64-unknown-linux-gnu"));
        // Runs here as it is.
        assert!(!cross("x86_64-unknown-linux-musl"));
        assert!(cross("aarch64-unknown-linux-gnu"));
        assert!(cross("x86_64-apple-darwin"));
        assert!(cross("a-triple-nobody-knows"));
    }
}
