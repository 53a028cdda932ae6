//! Calls of functions and methods.

use syn::{Expr, ExprCall, ExprMethodCall};

use super::{MOST_MEMBERS, Walk, span_of};
use crate::project::evidence::script::value::Value;
use crate::project::evidence::{Guard, What};

/// Methods of helper crates that do what was put together before.
const USES: [&str; 12] = [
    "compile",
    "try_compile",
    "compile_intermediates",
    "try_compile_intermediates",
    "compile_protos",
    "expand",
    "try_expand",
    "get_compiler",
    "try_get_compiler",
    "is_flag_supported",
    "build",
    "generate",
];

impl Walk<'_> {
    fn helper(&self, full: &[String]) -> Option<String> {
        full.first().filter(|first| full.len() > 1 && self.helpers.contains(*first)).cloned()
    }

    /// Calls what a path names, if it is of this script or of a helper crate.
    pub(super) fn named_function(&mut self, path: &syn::Path, arguments: &[Value]) -> Option<Value> {
        let module = self.module();
        if let Some(name) = path.get_ident() {
            let own = self.names.resolve(&[name.to_string()], module);
            if !own.is_empty() {
                return Some(self.enter_each(own, arguments));
            }
        }
        let full = self.names.full_path(path, module);
        if let Some(helper) = self.helper(&full).filter(|_| !self.names.is_own(&full)) {
            let span = span_of(path);
            let index = self.find(What::Helper(helper.replace('_', "-")), span);
            let last = full.last().map(String::as_str).unwrap_or_default();
            if helper == "pkg_config" && ["probe_library", "find_library"].contains(&last) {
                return Some(self.library(arguments.first().unwrap_or(&Value::Unknown), span));
            }
            return Some(Value::Made(helper, index));
        }
        let own = self.names.resolve(&full, module);
        if own.is_empty() { None } else { Some(self.enter_each(own, arguments)) }
    }

    pub(super) fn call(&mut self, call: &ExprCall) -> Value {
        let Expr::Path(function) = &*call.func else {
            self.value(&call.func);
            call.args.iter().for_each(|argument| drop(self.value(argument)));
            return Value::Unknown;
        };
        let arguments: Vec<Value> = call.args.iter().map(|argument| self.value(argument)).collect();
        if let Some(value) = self.named_function(&function.path, &arguments) {
            return value;
        }
        let full = self.names.full_path(&function.path, self.module());
        let last_two: Vec<&str> = full.iter().rev().take(2).rev().map(String::as_str).collect();
        let first = arguments.into_iter().next();
        match (last_two.as_slice(), first) {
            (["env", "var" | "var_os"] | ["var" | "var_os"], Some(name)) => variable_of(name),
            (["Command", "new"], Some(name)) => {
                self.command(&name, span_of(&function.path));
                Value::Unknown
            }
            (["process", "exit"], code) => {
                if code == Some(Value::Text("0".to_owned())) {
                    self.flow.left = Guard::ALWAYS;
                } else {
                    self.fail(&Guard::ALWAYS);
                }
                Value::Unknown
            }
            (["fs", "metadata" | "read_dir"], Some(path)) => {
                let exists = self.exists(&path);
                Value::either(vec![(exists.clone(), Value::Something), (exists.negated(), Value::Nothing)])
            }
            (["Err"] | [_, "Err"], _) => Value::Nothing,
            (["Some" | "Ok"] | [_, "Some" | "Ok"], Some(inner)) => match inner {
                Value::Unknown => Value::Something,
                inner => inner,
            },
            (
                ["Box" | "Rc" | "Arc" | "String" | "PathBuf" | "Path" | "OsString" | "OsStr" | "Cow", "new" | "from"],
                inner,
            ) => inner.unwrap_or_default(),
            (["Vec", "new" | "with_capacity"], _) => Value::List(Vec::new()),
            _ => Value::Unknown,
        }
    }

    pub(super) fn method(&mut self, call: &ExprMethodCall) -> Value {
        let value = self.value(&call.receiver);
        let name = call.method.to_string();
        if let Some(result) = self.option_method(call, &name, &value) {
            return result;
        }
        if let Some(result) = self.question(call, &name, &value) {
            return result;
        }
        self.other_method(call, &name, value)
    }

    /// A method of `Option`, `Result` or `bool` that chooses between what is there and what is not; none where it is no such
    /// method.
    fn option_method(&mut self, call: &ExprMethodCall, name: &str, value: &Value) -> Option<Value> {
        let (given, second) = (call.args.first(), call.args.iter().nth(1));
        Some(match (name, call.args.len()) {
            ("unwrap" | "expect", _) => {
                self.require(value);
                value.clone().inner()
            }
            ("is_ok" | "is_some", 0) => Value::Bool(value.is_there()),
            ("is_err" | "is_none", 0) => Value::Bool(value.is_there().negated()),
            ("is_ok_and" | "is_some_and", 1) => {
                let there = value.is_there();
                let (result, _) = self.under(&there, |walk| walk.function_value(given, &[value.clone().inner()]));
                Value::Bool(Guard::all([there, result.holds()]))
            }
            ("is_none_or", 1) => {
                let there = value.is_there();
                let (result, _) = self.under(&there, |walk| walk.function_value(given, &[value.clone().inner()]));
                Value::Bool(Guard::any([there.negated(), result.holds()]))
            }
            ("map_or" | "map_or_else", 2) => {
                let there = value.is_there();
                let not = there.negated();
                let (default, _) = self.under(&not, |walk| walk.function_value(given, &[]));
                let (result, _) = self.under(&there, |walk| walk.function_value(second, &[value.clone().inner()]));
                Value::either(vec![(there, result), (not, default)])
            }
            ("map" | "and_then" | "filter", 1) => {
                let there = value.is_there();
                if matches!(value, Value::List(_)) || there == Guard::Unknown {
                    let member = value.clone().member();
                    let (result, _) = self.function_value(given, &[member]);
                    return Some(if name == "filter" { value.clone() } else { result });
                }
                let (result, _) = self.under(&there, |walk| walk.function_value(given, &[value.clone().inner()]));
                let (there, result) = match name {
                    "filter" => (Guard::all([there, result.holds()]), value.clone().inner()),
                    _ => (there, result),
                };
                let not = there.negated();
                Value::either(vec![(there, result), (not, Value::Nothing)])
            }
            ("unwrap_or" | "or" | "unwrap_or_else" | "or_else", 1) => {
                let there = value.is_there();
                let not = there.negated();
                let (default, failed) = self.under(&not, |walk| walk.function_value(given, &[]));
                if failed == Guard::ALWAYS {
                    self.require(value);
                    return Some(value.clone().inner());
                }
                self.fail(&Guard::all([not.clone(), failed]));
                if there == Guard::Unknown && matches!(default, Value::Env(_)) {
                    // One of two variables, such as `TARGET_NAME` and `NAME`: the one that is known tells when it is set.
                    return Some(Value::either(vec![(there, value.clone().inner()), (Guard::ALWAYS, default)]));
                }
                Value::either(vec![(there, value.clone().inner()), (not, default)])
            }
            ("then" | "then_some", 1) => {
                let holds = value.holds();
                let (result, _) = self.under(&holds, |walk| walk.function_value(given, &[]));
                let not = holds.negated();
                Value::either(vec![(holds, result), (not, Value::Nothing)])
            }
            _ => return None,
        })
    }

    /// A method that asks something of a text, a path or a list; none where it is no such method.
    fn question(&mut self, call: &ExprMethodCall, name: &str, value: &Value) -> Option<Value> {
        let given = call.args.first();
        Some(match (name, call.args.len()) {
            ("exists" | "is_dir" | "is_file", 0) => Value::Bool(self.exists(value)),
            ("join", 1) => match (value, self.given(given)) {
                (Value::Text(folder), Value::Text(path)) => Value::Text(format!("{folder}/{path}")),
                // A script runs in the package's own folder.
                (Value::Env(name), path @ Value::Text(_)) if name == "CARGO_MANIFEST_DIR" => path,
                _ => Value::Unknown,
            },
            ("to_lowercase" | "to_ascii_lowercase", 0) if matches!(value, Value::Text(_)) => value.clone().lowercase(),
            ("eq" | "eq_ignore_ascii_case" | "ne", 1) => {
                let equal = value.equals(&self.given(given));
                Value::Bool(if name == "ne" { equal.negated() } else { equal })
            }
            ("contains", 1) => Value::Bool(value.contains(&self.given(given), |whole, part| whole.contains(part))),
            ("starts_with", 1) => {
                Value::Bool(value.contains(&self.given(given), |whole, part| whole.starts_with(part)))
            }
            ("ends_with", 1) => Value::Bool(value.contains(&self.given(given), |whole, part| whole.ends_with(part))),
            ("is_empty", 0) => match value {
                Value::Env(_) => Value::Bool(Guard::any([value.is_there().negated(), value.is("")])),
                other => Value::Bool(other.is("")),
            },
            ("any" | "all", 1) => self.any_or_all(value, given, name == "all"),
            _ => return None,
        })
    }

    /// Any other: of a list, of a builder of a helper crate, one that changes nothing, one of the script's own.
    fn other_method(&mut self, call: &ExprMethodCall, name: &str, value: Value) -> Value {
        let given = call.args.first();
        match (name, call.args.len()) {
            ("for_each", 1) => {
                self.function_value(given, &[value.member()]);
                Value::Unknown
            }
            ("cpp", 1) => {
                let cpp = self.given(given).holds();
                let index = self.under(&cpp, |walk| walk.find(What::Cxx, call.method.span()));
                if let Value::Made(_, builder) = &value {
                    self.parts.insert(index, *builder);
                }
                value
            }
            ("probe" | "probe_library" | "find_library", 1) => {
                let name = self.given(given);
                // A method that is called so elsewhere is another's; one of a value that is not known is pkg-config's.
                let own = match &value {
                    Value::Made(helper, _) => helper == "pkg_config",
                    _ => self.tree.mentions_pkg_config && self.names.methods(&call.method.to_string()).is_empty(),
                };
                if own { self.library(&name, call.method.span()) } else { value }
            }
            ("push", 1) => {
                let member = self.given(given);
                self.push(&call.receiver, member);
                Value::Unknown
            }
            ("push_str" | "insert" | "extend" | "append" | "retain" | "remove" | "pop" | "clear" | "truncate", _) => {
                call.args.iter().for_each(|argument| drop(self.value(argument)));
                self.forget(&call.receiver);
                if matches!(value, Value::Made(..)) { value } else { Value::Unknown }
            }
            ("split", 1) if matches!(&value, Value::Env(name) if is_list(name)) => value,
            (
                "ok" | "ok_or" | "ok_or_else" | "map_err" | "as_ref" | "as_mut" | "as_deref" | "as_str" | "as_os_str"
                | "to_str" | "to_string" | "to_string_lossy" | "to_owned" | "into_owned" | "into_string" | "into"
                | "clone" | "cloned" | "copied" | "borrow" | "unwrap_or_default" | "to_lowercase"
                | "to_ascii_lowercase" | "trim" | "as_bytes" | "iter" | "into_iter" | "iter_mut" | "collect" | "to_vec"
                | "display" | "unwrap_unchecked" | "flatten" | "context" | "with_context" | "inspect_err",
                _,
            ) => {
                call.args.iter().for_each(|argument| drop(self.value(argument)));
                value
            }
            _ => {
                let arguments: Vec<Value> = call.args.iter().map(|argument| self.value(argument)).collect();
                if let Value::Made(_, builder) = value {
                    if USES.contains(&name) && !self.is_dead() {
                        let when = Guard::all(self.path.iter().cloned());
                        self.uses.entry(builder).or_default().push(when);
                    }
                    return value;
                }
                let own = self.names.methods(name);
                if own.is_empty() { Value::Unknown } else { self.enter_each(own, &arguments) }
            }
        }
    }

    fn given(&mut self, given: Option<&Expr>) -> Value {
        given.map(|expr| self.value(expr)).unwrap_or_default()
    }

    fn any_or_all(&mut self, value: &Value, given: Option<&Expr>, all: bool) -> Value {
        let members = match value {
            Value::List(list) if list.len() <= MOST_MEMBERS => list.clone(),
            Value::Env(name) if is_list(name) => vec![value.clone()],
            _ => {
                self.function_value(given, &[]);
                return Value::Unknown;
            }
        };
        let results: Vec<Guard> =
            members.into_iter().map(|member| self.function_value(given, &[member]).0.holds()).collect();
        Value::Bool(if all { Guard::all(results) } else { Guard::any(results) })
    }
}

/// The environment variable of a name.
fn variable_of(name: Value) -> Value {
    match name {
        Value::Text(name) => Value::Env(name),
        // Mostly the target comes before it.
        Value::End(name) if name.starts_with('_') => Value::Env(format!("*{name}")),
        Value::Either(list) => {
            Value::either(list.into_iter().map(|(guard, name)| (guard, variable_of(name))).collect())
        }
        _ => Value::Unknown,
    }
}

/// Variables that hold several values with commas between them.
fn is_list(variable: &str) -> bool {
    ["CARGO_CFG_TARGET_FAMILY", "CARGO_CFG_TARGET_FEATURE"].contains(&variable)
}
