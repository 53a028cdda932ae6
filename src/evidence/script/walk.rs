//! Walks through a build script from `main` on, into every branch, with what is known about the branch.

use std::collections::{BTreeSet, HashMap};

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use proc_macro2::Span;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{
    Attribute, BinOp, Block, Expr, ExprCall, ExprClosure, ExprIf, ExprMacro, ExprMatch, ExprMethodCall, Item, Lit,
    LitStr, Local, Macro, Meta, Pat, Stmt, Token, UnOp,
};

use super::names::Names;
use super::tree::Tree;
use super::value::Value;
use super::{Call, Guard, What};
use crate::evidence::guard;
use crate::evidence::rust::{branches, cfgs, statements_of};

/// Expressions beyond which a script is not followed: it grows exponentially, or is made to harm.
const MOST_STEPS: usize = 300_000;
/// Expressions within each other.
const DEEPEST: usize = 2_000;
/// Functions within each other.
const MOST_FRAMES: usize = 24;
/// Finds beyond which a script is not followed.
const MOST_CALLS: usize = 2_000;
/// Members of a list that are looked at one by one.
const MOST_MEMBERS: usize = 32;

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

/// What a script does, in order, and the paths that this depends on.
pub(super) fn calls(tree: &Tree, helpers: &BTreeSet<String>) -> (Vec<Call>, Vec<Utf8PathBuf>) {
    let names = Names::of(tree);
    let helpers = helpers.iter().map(|name| name.replace('-', "_")).collect();
    let mut walk = Walk {
        tree,
        names: &names,
        helpers,
        calls: Vec::new(),
        path: Vec::new(),
        flow: Flow::default(),
        frames: Vec::new(),
        scopes: Vec::new(),
        known: HashMap::new(),
        uses: HashMap::new(),
        parts: HashMap::new(),
        looked_up: Vec::new(),
        steps: 0,
        depth: 0,
        cut: false,
    };
    let mains = names.mains();
    let unsure = |index: &usize| mains.is_empty() || names.functions[*index].for_trait;
    // What a trait asks for is called by whoever knows the trait.
    let unsure: Vec<usize> = (0..names.functions.len()).filter(unsure).collect();
    mains.into_iter().for_each(|main| drop(walk.enter(main, Vec::new())));
    walk.path = vec![Guard::Unknown];
    if walk.cut {
        // Each function once, without a word on when it is called.
        walk.steps = 0;
        walk.known.clear();
        (0..names.functions.len()).for_each(|index| drop(walk.enter(index, Vec::new())));
    }
    for index in unsure {
        if !walk.known.contains_key(&index) {
            walk.enter(index, Vec::new());
        }
    }
    for (builder, uses) in std::mem::take(&mut walk.uses) {
        let used = Guard::any(uses);
        let own = |call: &usize| *call == builder || walk.parts.get(call) == Some(&builder);
        for index in (0..walk.calls.len()).filter(own) {
            let guards = walk.calls[index].guards.iter().cloned();
            walk.calls[index].guards = Guard::all(guards.chain([used.clone()])).into_list();
        }
    }
    walk.calls.retain(|call| !call.guards.contains(&Guard::NEVER));
    (walk.calls, walk.looked_up)
}

/// What became of the run: under what conditions it does not come by the next statement.
#[derive(Clone, Debug)]
struct Flow {
    /// It returned from the function.
    left: Guard,
    /// It left the loop, or its turn of it.
    broke: Guard,
    /// It ended in a panic.
    failed: Guard,
}

impl Default for Flow {
    fn default() -> Self {
        Flow { left: Guard::NEVER, broke: Guard::NEVER, failed: Guard::NEVER }
    }
}

impl Flow {
    fn and(self, later: Flow) -> Flow {
        Flow {
            left: Guard::any([self.left, later.left]),
            broke: Guard::any([self.broke, later.broke]),
            failed: Guard::any([self.failed, later.failed]),
        }
    }

    fn under(self, condition: &Guard) -> Flow {
        let under = |guard: Guard| Guard::all([condition.clone(), guard]);
        Flow { left: under(self.left), broke: under(self.broke), failed: under(self.failed) }
    }

    /// What holds where the run goes on. A panic ends the build, and so tells of one that succeeds only what is settled
    /// before the script runs.
    fn rest(&self) -> Vec<Guard> {
        let mut rest = Guard::any([self.left.clone(), self.broke.clone()]).negated().into_list();
        if self.failed == Guard::ALWAYS || self.failed.is_settled() {
            rest.extend(self.failed.negated().into_list());
        }
        rest.retain(|guard| *guard != Guard::ALWAYS);
        rest
    }
}

/// A function, or a closure, that is walked through.
struct Frame {
    /// None for a closure.
    function: Option<usize>,
    module: usize,
    /// Conditions of the path that hold on entry.
    conditions: usize,
    /// The first of its scopes.
    scopes: usize,
    /// What it returned early, with the conditions since entry.
    returned: Vec<(Guard, Value)>,
}

/// A local variable.
struct Variable {
    value: Value,
    /// Conditions of the path where it was declared.
    conditions: usize,
}

/// A walk through a function that need not be repeated.
struct Known {
    arguments: Vec<Value>,
    path: Vec<Guard>,
    value: Value,
    failed: Guard,
}

struct Walk<'t> {
    tree: &'t Tree,
    names: &'t Names<'t>,
    helpers: BTreeSet<String>,
    calls: Vec<Call>,
    /// What holds at this point.
    path: Vec<Guard>,
    flow: Flow,
    frames: Vec<Frame>,
    scopes: Vec<HashMap<String, Variable>>,
    known: HashMap<usize, Vec<Known>>,
    /// When what a helper made is used, by its number among the calls: it may be made long before it is known whether.
    uses: HashMap<usize, Vec<Guard>>,
    /// Calls that are part of such.
    parts: HashMap<usize, usize>,
    /// Paths whose being there decided something.
    looked_up: Vec<Utf8PathBuf>,
    steps: usize,
    depth: usize,
    /// Whether it ended somewhere for being too long or too deep.
    cut: bool,
}

impl Walk<'_> {
    // Functions.

    /// Walks through a function and tells what it returns.
    fn enter(&mut self, index: usize, arguments: Vec<Value>) -> Value {
        let names = self.names;
        let function = &names.functions[index];
        let running = self.frames.iter().any(|frame| frame.function == Some(index));
        if running || self.is_dead() || function.cfg == Guard::NEVER {
            return Value::Unknown;
        }
        if self.frames.len() >= MOST_FRAMES {
            self.cut = true;
            return Value::Unknown;
        }
        if let Some(known) = self
            .known
            .get(&index)
            .into_iter()
            .flatten()
            .find(|known| known.arguments == arguments && known.path.iter().all(|guard| self.path.contains(guard)))
        {
            let (value, failed) = (known.value.clone(), known.failed.clone());
            self.fail(&failed);
            return value;
        }
        let entry = self.path.clone();
        let cfg = function.cfg.clone();
        let (value, failed) = self.under(&cfg, |walk| {
            let outer = std::mem::take(&mut walk.flow);
            let frame = Frame {
                function: Some(index),
                module: function.module,
                conditions: walk.path.len(),
                scopes: walk.scopes.len(),
                returned: Vec::new(),
            };
            walk.frames.push(frame);
            walk.scopes.push(HashMap::new());
            for (at, parameter) in function.parameters.iter().enumerate() {
                let value = arguments.get(at).cloned().unwrap_or_default();
                walk.bind(parameter, &value);
            }
            let last = walk.block(function.body);
            walk.scopes.pop();
            let flow = std::mem::replace(&mut walk.flow, outer);
            let mut returned = walk.frames.pop().map(|frame| frame.returned).unwrap_or_default();
            returned.push((flow.left.negated(), last));
            (Value::either(returned), flow.failed)
        });
        self.fail(&Guard::all([cfg.clone(), failed.clone()]));
        let value = if cfg == Guard::ALWAYS { value } else { Value::either(vec![(cfg, value)]) };
        let known = Known { arguments, path: entry, value: value.clone(), failed };
        self.known.entry(index).or_default().push(known);
        value
    }

    /// Walks through the functions that a name may stand for.
    fn enter_each(&mut self, functions: Vec<usize>, arguments: &[Value]) -> Value {
        let one_of = |walk: &Walk<'_>, index: usize| walk.names.functions[index].cfg.clone();
        let values = functions.into_iter().map(|index| {
            let value = self.enter(index, arguments.to_vec());
            (one_of(self, index), value)
        });
        Value::either(values.collect())
    }

    /// Walks through a closure, in the place where it is written; tells what it returns and when it panics.
    fn closure(&mut self, closure: &ExprClosure, arguments: &[Value]) -> (Value, Guard) {
        let outer = std::mem::take(&mut self.flow);
        let (module, scopes) = (self.module(), self.frames.last().map_or(0, |frame| frame.scopes));
        let conditions = self.path.len();
        self.frames.push(Frame { function: None, module, conditions, scopes, returned: Vec::new() });
        self.scopes.push(HashMap::new());
        for (at, parameter) in closure.inputs.iter().enumerate() {
            self.bind(parameter, &arguments.get(at).cloned().unwrap_or_default());
        }
        let last = self.value(&closure.body);
        self.scopes.pop();
        let flow = std::mem::replace(&mut self.flow, outer);
        let mut returned = self.frames.pop().map(|frame| frame.returned).unwrap_or_default();
        returned.push((flow.left.negated(), last));
        (Value::either(returned), flow.failed)
    }

    /// What is given as a function: a closure, or the name of one.
    fn function_value(&mut self, given: Option<&Expr>, arguments: &[Value]) -> (Value, Guard) {
        match given {
            Some(Expr::Closure(closure)) => self.closure(closure, arguments),
            Some(Expr::Path(path)) => (self.named_function(&path.path, arguments).unwrap_or_default(), Guard::NEVER),
            Some(other) => (self.value(other), Guard::NEVER),
            None => (Value::Unknown, Guard::NEVER),
        }
    }

    fn module(&self) -> usize {
        self.frames.last().map_or(0, |frame| frame.module)
    }

    // Conditions.

    fn is_dead(&self) -> bool {
        self.path.contains(&Guard::NEVER)
    }

    /// Walks on under a condition; what becomes of the run there counts under that condition.
    fn under<T>(&mut self, condition: &Guard, walk: impl FnOnce(&mut Self) -> T) -> T {
        let depth = self.path.len();
        self.path.extend(condition.clone().into_list());
        let outer = std::mem::take(&mut self.flow);
        let result = walk(self);
        let flow = std::mem::take(&mut self.flow);
        self.flow = outer.and(flow.under(condition));
        self.path.truncate(depth);
        result
    }

    /// What a list of attributes demands.
    fn cfg(attributes: &[Attribute]) -> Guard {
        Guard::all(cfgs(attributes).iter().map(guard::of_cfg))
    }

    /// The script panics under a condition.
    fn fail(&mut self, condition: &Guard) {
        let whole = Guard::all(self.path.iter().cloned().chain([condition.clone()]));
        if *condition == Guard::NEVER || whole == Guard::NEVER {
            return;
        }
        self.demand(condition);
        self.flow.failed = Guard::any([self.flow.failed.clone(), condition.clone()]);
    }

    /// Where the script panics because one library was not found, that library is not optional. Not so where something
    /// else was tried since, which only the running script knows, or a second library.
    fn demand(&mut self, condition: &Guard) {
        if let Guard::Any(list) = condition {
            list.iter().for_each(|condition| self.demand(condition));
            return;
        }
        let conditions = self.path.iter().cloned().chain(condition.clone().into_list());
        let mut missing = BTreeSet::new();
        let mut unsure = false;
        for condition in conditions {
            match condition {
                Guard::Library { name, found: false } => {
                    missing.insert(name);
                    unsure = false;
                }
                other => unsure |= other.has_unknown(),
            }
        }
        if let (Some(missing), 1, false) = (missing.first(), missing.len(), unsure) {
            for call in &mut self.calls {
                if let What::PkgConfig { name: Some(name), optional } = &mut call.what
                    && name == missing
                {
                    *optional = false;
                }
            }
        }
    }

    // Finds.

    fn find(&mut self, what: What, span: Span) -> usize {
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

    fn library(&mut self, name: &Value, span: Span) -> Value {
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

    fn command(&mut self, name: &Value, span: Span) {
        self.find_each(name.texts(), span, &|name| {
            let own = ["rustc", "cargo", "rustdoc", ""].contains(&name.as_str());
            (!own).then_some(What::Command(name))
        });
    }

    /// Whether a path is there. What belongs to the package can be looked up now.
    fn exists(&mut self, path: &Value) -> Guard {
        let Value::Text(path) = path else { return Guard::Unknown };
        let path = Utf8Path::new(path);
        let inside = |part| matches!(part, Utf8Component::Normal(_) | Utf8Component::CurDir);
        if !path.components().all(inside) {
            return Guard::Unknown;
        }
        let path = self.tree.package.join(path);
        let exists = path.exists();
        self.looked_up.push(path);
        if exists { Guard::ALWAYS } else { Guard::NEVER }
    }

    /// What a printed line tells cargo to link.
    fn printed(&mut self, text: &Value, span: Span) {
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

    // Statements.

    fn block(&mut self, block: &Block) -> Value {
        self.statements(&block.stmts)
    }

    fn statements(&mut self, statements: &[Stmt]) -> Value {
        let depth = self.path.len();
        let outer = std::mem::take(&mut self.flow);
        let mut whole = Flow::default();
        let mut last = Value::Unknown;
        self.scopes.push(HashMap::new());
        for statement in statements {
            last = self.statement(statement);
            let flow = std::mem::take(&mut self.flow);
            self.path.extend(flow.rest());
            whole = whole.and(flow);
            if self.is_dead() {
                break;
            }
        }
        self.scopes.pop();
        self.path.truncate(depth);
        self.flow = outer.and(whole);
        last
    }

    fn statement(&mut self, statement: &Stmt) -> Value {
        match statement {
            Stmt::Local(local) => self.local(local),
            Stmt::Item(_) => {}
            Stmt::Expr(expr, None) => return self.value(expr),
            Stmt::Expr(expr, Some(_)) => {
                self.value(expr);
            }
            Stmt::Macro(call) => {
                let cfg = Self::cfg(&call.attrs);
                let value = self.under(&cfg, |walk| walk.macro_call(&call.mac));
                if call.semi_token.is_none() {
                    return value;
                }
            }
        }
        Value::Unknown
    }

    fn local(&mut self, local: &Local) {
        let cfg = Self::cfg(&local.attrs);
        let value = self.under(&cfg, |walk| {
            let Some(init) = &local.init else { return Value::Unknown };
            let value = walk.value(&init.expr);
            if let Some((_, otherwise)) = &init.diverge {
                let fits = walk.matches(&local.pat, &value);
                walk.under(&fits.negated(), |walk| walk.value(otherwise));
            }
            value
        });
        match (&local.pat, cfg == Guard::ALWAYS) {
            // The same name once for each configuration.
            (Pat::Ident(name), false) => {
                let before = self.variable(&name.ident.to_string()).map(|variable| variable.value.clone());
                let value = match before {
                    Some(before) => Value::either(vec![(cfg.clone(), value), (cfg.negated(), before)]),
                    None => value,
                };
                self.bind(&local.pat, &value);
            }
            (pattern, _) => self.bind(pattern, &value),
        }
    }

    fn variable(&mut self, name: &str) -> Option<&mut Variable> {
        let first = self.frames.last().map_or(0, |frame| frame.scopes);
        self.scopes.get_mut(first..)?.iter_mut().rev().find_map(|scope| scope.get_mut(name))
    }

    /// `name = value`: where it is under a condition, the old value remains where that does not hold.
    fn assign(&mut self, name: &str, value: Value) {
        let path = self.path.clone();
        if let Some(variable) = self.variable(name) {
            let since = Guard::all(path.iter().skip(variable.conditions).cloned());
            let before = std::mem::take(&mut variable.value);
            variable.value = Value::either(vec![(since.clone(), value), (since.negated(), before)]);
        }
    }

    /// A variable is changed in ways that are not followed.
    fn forget(&mut self, expr: &Expr) {
        let Some(name) = name_of(expr) else { return };
        if let Some(variable) = self.variable(&name)
            && matches!(variable.value, Value::Text(_) | Value::Bool(_) | Value::List(_) | Value::Either(_))
        {
            variable.value = Value::Unknown;
        }
    }

    /// `list.push(value)`.
    fn push(&mut self, expr: &Expr, member: Value) {
        let path = self.path.clone();
        let Some(variable) = name_of(expr).and_then(|name| self.variable(&name)) else { return };
        let since = Guard::all(path.iter().skip(variable.conditions).cloned());
        if let Value::List(list) = &mut variable.value {
            let not = since.negated();
            list.push(Value::either(vec![(since, member), (not, Value::Nothing)]));
        } else {
            self.forget(expr);
        }
    }

    // Patterns.

    fn bind(&mut self, pattern: &Pat, value: &Value) {
        self.matches(pattern, value);
    }

    /// When a value fits a pattern; binds its names.
    fn matches(&mut self, pattern: &Pat, value: &Value) -> Guard {
        match pattern {
            Pat::Ident(name) if name.subpat.is_none() && name.ident == "None" => value.is_there().negated(),
            Pat::Ident(name) => {
                let text = name.ident.to_string();
                if text.chars().all(|letter| !letter.is_lowercase())
                    && let Some(constant) = self.names.constant(&text)
                {
                    let constant = self.value(constant);
                    return value.equals(&constant);
                }
                let conditions = self.path.len();
                if let Some(scope) = self.scopes.last_mut() {
                    scope.insert(text, Variable { value: value.clone(), conditions });
                }
                name.subpat.as_ref().map_or(Guard::ALWAYS, |(_, inner)| self.matches(inner, value))
            }
            Pat::Wild(_) | Pat::Rest(_) => Guard::ALWAYS,
            Pat::Lit(literal) => value.equals(&literal_value(&literal.lit)),
            Pat::Or(list) => {
                let cases: Vec<Guard> = list.cases.iter().map(|case| self.matches(case, value)).collect();
                Guard::any(cases)
            }
            Pat::Paren(inner) => self.matches(&inner.pat, value),
            Pat::Reference(inner) => self.matches(&inner.pat, value),
            Pat::Type(inner) => self.matches(&inner.pat, value),
            Pat::TupleStruct(inner) => {
                let name = inner.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
                match (name.as_str(), inner.elems.first()) {
                    ("Some" | "Ok", Some(first)) => {
                        let there = value.is_there();
                        let fits = self.matches(first, &value.clone().inner());
                        Guard::all([there, fits])
                    }
                    ("Err", Some(first)) => {
                        let fits = self.matches(first, &Value::Unknown);
                        Guard::all([value.is_there().negated(), fits])
                    }
                    _ => {
                        inner.elems.iter().for_each(|inner| self.bind(inner, &Value::Unknown));
                        Guard::Unknown
                    }
                }
            }
            Pat::Tuple(list) => self.match_list(&list.elems, value, Guard::ALWAYS),
            Pat::Slice(list) => self.match_list(&list.elems, value, Guard::Unknown),
            Pat::Struct(inner) => {
                inner.fields.iter().for_each(|field| self.bind(&field.pat, &Value::Unknown));
                Guard::Unknown
            }
            _ => Guard::Unknown,
        }
    }

    fn match_list(&mut self, patterns: &Punctuated<Pat, Token![,]>, value: &Value, unsure: Guard) -> Guard {
        let members = match value {
            Value::List(list) if list.len() == patterns.len() => list.as_slice(),
            _ => &[],
        };
        let mut fits = if members.is_empty() { vec![unsure] } else { Vec::new() };
        for (at, pattern) in patterns.iter().enumerate() {
            fits.push(self.matches(pattern, members.get(at).unwrap_or(&Value::Unknown)));
        }
        Guard::all(fits)
    }

    // Expressions.

    /// Walks through an expression and tells what it is.
    fn value(&mut self, expr: &Expr) -> Value {
        self.steps += 1;
        if self.steps > MOST_STEPS || self.depth >= DEEPEST {
            self.cut = true;
            return Value::Unknown;
        }
        self.depth += 1;
        let cfg = Self::cfg(attributes(expr));
        let value =
            if cfg == Guard::ALWAYS { self.plain_value(expr) } else { self.under(&cfg, |walk| walk.plain_value(expr)) };
        self.depth -= 1;
        value
    }

    fn plain_value(&mut self, expr: &Expr) -> Value {
        match expr {
            Expr::Lit(literal) => literal_value(&literal.lit),
            Expr::Paren(inner) => self.value(&inner.expr),
            Expr::Group(inner) => self.value(&inner.expr),
            Expr::Reference(inner) => {
                let value = self.value(&inner.expr);
                if inner.mutability.is_some() {
                    self.forget(&inner.expr);
                }
                value
            }
            Expr::Cast(inner) => self.value(&inner.expr),
            Expr::Await(inner) => self.value(&inner.base),
            Expr::Unary(inner) => {
                let value = self.value(&inner.expr);
                match inner.op {
                    UnOp::Not(_) => Value::Bool(value.holds().negated()),
                    UnOp::Deref(_) => value,
                    _ => Value::Unknown,
                }
            }
            Expr::Binary(binary) => self.binary(&binary.op, &binary.left, &binary.right),
            Expr::Path(path) => self.path_value(&path.path),
            Expr::Call(call) => self.call(call),
            Expr::MethodCall(call) => self.method(call),
            Expr::Macro(ExprMacro { mac, .. }) => self.macro_call(mac),
            Expr::If(branch) => self.branch(branch),
            Expr::Match(choice) => self.choice(choice),
            Expr::Let(binding) => {
                let value = self.value(&binding.expr);
                Value::Bool(self.matches(&binding.pat, &value))
            }
            Expr::Block(inner) => self.block(&inner.block),
            Expr::Unsafe(inner) => self.block(&inner.block),
            Expr::Const(inner) => self.block(&inner.block),
            Expr::Async(inner) => self.block(&inner.block),
            Expr::Closure(closure) => {
                self.closure(closure, &[]);
                Value::Unknown
            }
            Expr::Array(list) => Value::List(list.elems.iter().map(|member| self.value(member)).collect()),
            Expr::Tuple(list) => Value::List(list.elems.iter().map(|member| self.value(member)).collect()),
            Expr::Field(field) => match (self.value(&field.base), &field.member) {
                (Value::List(list), syn::Member::Unnamed(at)) => {
                    list.into_iter().nth(at.index as usize).unwrap_or_default()
                }
                (made @ Value::Made(..), _) => made,
                _ => Value::Unknown,
            },
            Expr::Index(index) => {
                let value = self.value(&index.expr);
                self.value(&index.index);
                // `[..]` is the whole.
                if matches!(&*index.index, Expr::Range(range) if range.start.is_none() && range.end.is_none()) {
                    value
                } else {
                    Value::Unknown
                }
            }
            Expr::Assign(assign) => {
                let value = self.value(&assign.right);
                match name_of(&assign.left) {
                    Some(name) => self.assign(&name, value),
                    None => drop(self.value(&assign.left)),
                }
                Value::Unknown
            }
            Expr::Try(inner) => {
                let value = self.value(&inner.expr);
                self.leave_unless_there(&value);
                value.inner()
            }
            Expr::Return(inner) => {
                let value = inner.expr.as_ref().map(|expr| self.value(expr)).unwrap_or_default();
                self.leave(value, &Guard::ALWAYS);
                Value::Unknown
            }
            Expr::Break(inner) => {
                if let Some(expr) = &inner.expr {
                    self.value(expr);
                }
                self.flow.broke = Guard::ALWAYS;
                Value::Unknown
            }
            Expr::Continue(_) => {
                self.flow.broke = Guard::ALWAYS;
                Value::Unknown
            }
            Expr::ForLoop(looped) => {
                let members = self.value(&looped.expr).member();
                self.repeated(&Guard::ALWAYS, |walk| {
                    walk.bind(&looped.pat, &members);
                    walk.block(&looped.body);
                });
                Value::Unknown
            }
            Expr::While(looped) => {
                self.scopes.push(HashMap::new());
                let condition = self.value(&looped.cond).holds();
                self.repeated(&condition, |walk| {
                    walk.block(&looped.body);
                });
                self.scopes.pop();
                Value::Unknown
            }
            Expr::Loop(looped) => {
                self.repeated(&Guard::ALWAYS, |walk| {
                    walk.block(&looped.body);
                });
                Value::Unknown
            }
            other => {
                visit::visit_expr(&mut Children(self), other);
                Value::Unknown
            }
        }
    }

    /// A loop's body: walked once. Whether a turn comes that leaves the function is not known.
    fn repeated(&mut self, condition: &Guard, walk: impl FnOnce(&mut Self)) {
        let outer = std::mem::take(&mut self.flow);
        self.scopes.push(HashMap::new());
        self.under(condition, walk);
        self.scopes.pop();
        let Flow { left, .. } = std::mem::replace(&mut self.flow, outer);
        let left = Guard::all([Guard::Unknown, left]);
        self.flow.left = Guard::any([self.flow.left.clone(), left]);
    }

    /// The function returns under a condition.
    fn leave(&mut self, value: Value, condition: &Guard) {
        let Some(frame) = self.frames.last_mut() else { return };
        let since = self.path.iter().skip(frame.conditions).cloned();
        let guard = Guard::all(since.chain([condition.clone()]));
        if self.frames.len() == 1 && value == Value::Nothing {
            // `main` that returns an error ends the build.
            return self.fail(condition);
        }
        let Some(frame) = self.frames.last_mut() else { return };
        frame.returned.push((guard, value));
        self.flow.left = Guard::any([self.flow.left.clone(), condition.clone()]);
    }

    /// `?`
    fn leave_unless_there(&mut self, value: &Value) {
        let missing = value.is_there().negated();
        if self.frames.len() == 1 {
            self.require(value);
        } else if missing != Guard::NEVER && missing != Guard::Unknown {
            self.leave(Value::Nothing, &missing);
        }
    }

    /// The script panics unless a value is there.
    fn require(&mut self, value: &Value) {
        match value {
            Value::Either(list) => {
                for (condition, value) in list {
                    self.under(condition, |walk| walk.require(value));
                }
            }
            Value::Library(index, None) => {
                if let Some(Call { what: What::PkgConfig { optional, .. }, .. }) = self.calls.get_mut(*index) {
                    *optional = false;
                }
            }
            other => self.fail(&other.is_there().negated()),
        }
    }

    fn binary(&mut self, op: &BinOp, left: &Expr, right: &Expr) -> Value {
        let one = self.value(left);
        match op {
            BinOp::And(_) => {
                let one = one.holds();
                let two = self.under(&one, |walk| walk.value(right)).holds();
                Value::Bool(Guard::all([one, two]))
            }
            BinOp::Or(_) => {
                let one = one.holds();
                let two = self.under(&one.negated(), |walk| walk.value(right)).holds();
                Value::Bool(Guard::any([one, two]))
            }
            BinOp::Eq(_) | BinOp::Ne(_) => {
                let equal = one.equals(&self.value(right));
                Value::Bool(if matches!(op, BinOp::Ne(_)) { equal.negated() } else { equal })
            }
            BinOp::BitAnd(_) => Value::Bool(Guard::all([one.holds(), self.value(right).holds()])),
            BinOp::BitOr(_) => Value::Bool(Guard::any([one.holds(), self.value(right).holds()])),
            _ => {
                let two = self.value(right);
                // `flag |= …`, `text += …`: what becomes of it is not followed.
                let name = name_of(left).unwrap_or_default();
                match op {
                    BinOp::BitOrAssign(_) => {
                        self.assign(&name, Value::Bool(Guard::any([one.holds(), two.holds()])));
                    }
                    BinOp::BitAndAssign(_) => {
                        self.assign(&name, Value::Bool(Guard::all([one.holds(), two.holds()])));
                    }
                    BinOp::AddAssign(_) => self.forget(left),
                    _ => {}
                }
                Value::Unknown
            }
        }
    }

    fn branch(&mut self, branch: &ExprIf) -> Value {
        self.scopes.push(HashMap::new());
        let condition = self.value(&branch.cond).holds();
        let yes = self.under(&condition, |walk| walk.block(&branch.then_branch));
        self.scopes.pop();
        let not = condition.negated();
        let no = match &branch.else_branch {
            Some((_, otherwise)) => self.under(&not, |walk| walk.value(otherwise)),
            None => Value::Unknown,
        };
        Value::either(vec![(condition, yes), (not, no)])
    }

    fn choice(&mut self, choice: &ExprMatch) -> Value {
        let value = self.value(&choice.expr);
        let mut before = Guard::NEVER;
        let mut values = Vec::new();
        for arm in &choice.arms {
            self.scopes.push(HashMap::new());
            let cfg = Self::cfg(&arm.attrs);
            let fits = Guard::all([cfg, self.matches(&arm.pat, &value)]);
            let asked = match &arm.guard {
                Some((_, asked)) => self.under(&fits, |walk| walk.value(asked)).holds(),
                None => Guard::ALWAYS,
            };
            let own = Guard::all([fits.clone(), asked]);
            // Patterns exclude each other as people write them, so only the one for all others needs their opposite.
            let condition =
                if fits == Guard::ALWAYS { Guard::all([before.negated(), own.clone()]) } else { own.clone() };
            let result = self.under(&condition, |walk| walk.value(&arm.body));
            self.scopes.pop();
            values.push((condition, result));
            before = Guard::any([before, own]);
        }
        Value::either(values)
    }

    fn path_value(&mut self, path: &syn::Path) -> Value {
        if let Some(name) = path.get_ident() {
            let name = name.to_string();
            if let Some(variable) = self.variable(&name) {
                return variable.value.clone();
            }
            if name == "None" {
                return Value::Nothing;
            }
        }
        let last = path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        if let Some(constant) = self.names.constant(&last) {
            return self.value(constant);
        }
        // A function that is handed on is called by someone.
        self.named_function(path, &[]);
        Value::Unknown
    }

    // Calls.

    fn helper(&self, full: &[String]) -> Option<String> {
        full.first().filter(|first| full.len() > 1 && self.helpers.contains(*first)).cloned()
    }

    /// Calls what a path names, if it is of this script or of a helper crate.
    fn named_function(&mut self, path: &syn::Path, arguments: &[Value]) -> Option<Value> {
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

    fn call(&mut self, call: &ExprCall) -> Value {
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

    fn method(&mut self, call: &ExprMethodCall) -> Value {
        let value = self.value(&call.receiver);
        let name = call.method.to_string();
        let given = call.args.first();
        let second = call.args.iter().nth(1);
        match (name.as_str(), call.args.len()) {
            ("unwrap" | "expect", _) => {
                self.require(&value);
                value.inner()
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
                    return if name == "filter" { value } else { result };
                }
                let (result, _) = self.under(&there, |walk| walk.function_value(given, &[value.clone().inner()]));
                let (there, result) = match name.as_str() {
                    "filter" => (Guard::all([there, result.holds()]), value.inner()),
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
                    self.require(&value);
                    return value.inner();
                }
                self.fail(&Guard::all([not.clone(), failed]));
                if there == Guard::Unknown && matches!(default, Value::Env(_)) {
                    // One of two variables, such as `TARGET_NAME` and `NAME`: the one that is known tells when it is set.
                    return Value::either(vec![(there, value.inner()), (Guard::ALWAYS, default)]);
                }
                Value::either(vec![(there, value.inner()), (not, default)])
            }
            ("exists" | "is_dir" | "is_file", 0) => Value::Bool(self.exists(&value)),
            ("join", 1) => match (&value, self.given(given)) {
                (Value::Text(folder), Value::Text(path)) => Value::Text(format!("{folder}/{path}")),
                // A script runs in the package's own folder.
                (Value::Env(name), path @ Value::Text(_)) if name == "CARGO_MANIFEST_DIR" => path,
                _ => Value::Unknown,
            },
            ("to_lowercase" | "to_ascii_lowercase", 0) if matches!(value, Value::Text(_)) => value.lowercase(),
            ("then" | "then_some", 1) => {
                let holds = value.holds();
                let (result, _) = self.under(&holds, |walk| walk.function_value(given, &[]));
                let not = holds.negated();
                Value::either(vec![(holds, result), (not, Value::Nothing)])
            }
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
            ("any" | "all", 1) => self.any_or_all(&value, given, name == "all"),
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
                    if USES.contains(&name.as_str()) && !self.is_dead() {
                        let when = Guard::all(self.path.iter().cloned());
                        self.uses.entry(builder).or_default().push(when);
                    }
                    return value;
                }
                let own = self.names.methods(&name);
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

    // Macros.

    fn macro_call(&mut self, call: &Macro) -> Value {
        let name = call.path.segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default();
        match name.as_str() {
            "cfg" => {
                let meta = call.parse_body::<Meta>();
                Value::Bool(meta.map_or(Guard::Unknown, |meta| guard::of_cfg(&meta)))
            }
            "option_env" => call.parse_body::<LitStr>().map_or(Value::Unknown, |name| Value::Env(name.value())),
            "env" => call.parse_body::<LitStr>().map_or(Value::Unknown, |name| Value::Env(name.value())),
            "include_str" | "include_bytes" | "macro_rules" | "stringify" | "line" | "file" => Value::Unknown,
            "matches" => {
                let parser = |input: syn::parse::ParseStream<'_>| {
                    let value: Expr = input.parse()?;
                    input.parse::<Token![,]>()?;
                    let pattern = Pat::parse_multi_with_leading_vert(input)?;
                    let asked =
                        if input.parse::<Option<Token![if]>>()?.is_some() { Some(input.parse()?) } else { None };
                    input.parse::<Option<Token![,]>>()?;
                    Ok::<(Expr, Pat, Option<Expr>), syn::Error>((value, pattern, asked))
                };
                let Ok((value, pattern, asked)) = parser.parse2(call.tokens.clone()) else { return Value::Unknown };
                let value = self.value(&value);
                self.scopes.push(HashMap::new());
                let fits = self.matches(&pattern, &value);
                let asked = asked.map_or(Guard::ALWAYS, |asked| self.value(&asked).holds());
                self.scopes.pop();
                Value::Bool(Guard::all([fits, asked]))
            }
            "cfg_if" | "cfg_select" => self.cfg_branches(call),
            "panic" | "unreachable" | "todo" | "unimplemented" | "bail" | "compile_error" => {
                self.macro_arguments(call);
                self.fail(&Guard::ALWAYS);
                Value::Unknown
            }
            "assert" => {
                let holds = self.macro_arguments(call).into_iter().next().unwrap_or_default().holds();
                self.fail(&holds.negated());
                Value::Unknown
            }
            "vec" => Value::List(self.macro_arguments(call)),
            "println" | "print" | "format" | "eprintln" | "eprint" | "concat" => {
                let text = self.formatted(call, 0, name == "concat");
                if !name.starts_with('e') {
                    self.printed(&text, span_of(&call.path));
                }
                text
            }
            "write" | "writeln" => {
                let text = self.formatted(call, 1, false);
                self.printed(&text, span_of(&call.path));
                Value::Unknown
            }
            _ => {
                // The script's own macros: their bodies are unknown, what they are given mostly is an expression.
                self.macro_arguments(call);
                Value::Unknown
            }
        }
    }

    fn cfg_branches(&mut self, call: &Macro) -> Value {
        let mut values = Vec::new();
        for branch in branches(call).unwrap_or_default() {
            let condition = Guard::all(branch.conditions.iter().map(guard::of_cfg));
            let statements = statements_of(branch.body).unwrap_or_default();
            let value = self.under(&condition, |walk| walk.statements(&statements));
            values.push((condition, value));
        }
        Value::either(values)
    }

    /// What a macro is given: expressions with commas between them, or statements.
    fn macro_arguments(&mut self, call: &Macro) -> Vec<Value> {
        if let Ok(list) = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(call.tokens.clone()) {
            return list.iter().map(|expr| self.value(expr)).collect();
        }
        if let Some(statements) = statements_of(call.tokens.clone()) {
            self.statements(&statements);
        }
        Vec::new()
    }

    /// The text of a `format!`, whose literal comes after `skip` other arguments.
    fn formatted(&mut self, call: &Macro, skip: usize, concat: bool) -> Value {
        let parsed = Punctuated::<Expr, Token![,]>::parse_terminated.parse2(call.tokens.clone());
        let Ok(arguments) = parsed else { return Value::Unknown };
        let mut unnamed = Vec::new();
        let mut named: HashMap<String, Value> = HashMap::new();
        let mut literal = Value::Unknown;
        for (at, argument) in arguments.iter().enumerate() {
            match argument {
                Expr::Assign(assign) if matches!(&*assign.left, Expr::Path(_)) => {
                    let Expr::Path(name) = &*assign.left else { continue };
                    let name = name.path.get_ident().map(ToString::to_string).unwrap_or_default();
                    let value = self.value(&assign.right);
                    named.insert(name, value);
                }
                other => {
                    let value = self.value(other);
                    if at == skip && !concat {
                        literal = value;
                    } else if at > skip || concat {
                        unnamed.push(value);
                    }
                }
            }
        }
        if concat {
            return joined(unnamed);
        }
        let Value::Text(literal) = literal else { return literal };
        let Some(pieces) = pieces(&literal) else { return Value::Unknown };
        let mut unnamed = unnamed.into_iter().enumerate().collect::<HashMap<_, _>>();
        let mut next = 0;
        let mut parts = Vec::new();
        for piece in pieces {
            parts.push(match piece {
                Piece::Text(text) => Value::Text(text),
                Piece::Argument(name) if name.is_empty() => {
                    next += 1;
                    unnamed.remove(&(next - 1)).unwrap_or_default()
                }
                Piece::Argument(name) => match name.parse::<usize>() {
                    Ok(at) => unnamed.get(&at).cloned().unwrap_or_default(),
                    Err(_) => match named.get(&name) {
                        Some(value) => value.clone(),
                        None => self.variable(&name).map(|variable| variable.value.clone()).unwrap_or_default(),
                    },
                },
            });
        }
        joined(parts)
    }
}

/// Walks through the parts of an expression that tells nothing by itself.
struct Children<'w, 't>(&'w mut Walk<'t>);

impl<'a> Visit<'a> for Children<'_, '_> {
    fn visit_expr(&mut self, expr: &'a Expr) {
        self.0.value(expr);
    }

    fn visit_block(&mut self, block: &'a Block) {
        self.0.block(block);
    }

    fn visit_macro(&mut self, call: &'a Macro) {
        self.0.macro_call(call);
    }

    fn visit_item(&mut self, _: &'a Item) {}
}

/// A part of a format string.
enum Piece {
    Text(String),
    /// The name or number in `{name:…}`, or nothing.
    Argument(String),
}

fn pieces(format: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut letters = format.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '{' | '}' if letters.peek() == Some(&letter) => {
                letters.next();
                text.push(letter);
            }
            '{' => {
                let inside: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
                pieces.push(Piece::Text(std::mem::take(&mut text)));
                pieces.push(Piece::Argument(inside.split(':').next().unwrap_or_default().trim().to_owned()));
            }
            '}' => return None,
            other => text.push(other),
        }
    }
    pieces.push(Piece::Text(text));
    Some(pieces)
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

/// Values one after the other as texts; unknown where one is, except the first.
fn joined(parts: Vec<Value>) -> Value {
    let mut parts = parts;
    parts.retain(|part| *part != Value::Text(String::new()));
    if parts.len() > 1 && parts[0] == Value::Unknown {
        return match joined(parts.split_off(1)) {
            Value::Text(end) => Value::End(end),
            _ => Value::Unknown,
        };
    }
    let mut whole = vec![(Guard::ALWAYS, String::new())];
    for part in parts {
        let texts = part.texts();
        let mut longer = Vec::new();
        for (condition, text) in &whole {
            for (other, end) in &texts {
                longer.push((Guard::all([condition.clone(), other.clone()]), format!("{text}{end}")));
            }
        }
        if longer.is_empty() || longer.len() > MOST_MEMBERS {
            return Value::Unknown;
        }
        whole = longer;
    }
    Value::either(whole.into_iter().map(|(condition, text)| (condition, Value::Text(text))).collect())
}

/// Variables that hold several values with commas between them.
fn is_list(variable: &str) -> bool {
    ["CARGO_CFG_TARGET_FAMILY", "CARGO_CFG_TARGET_FEATURE"].contains(&variable)
}

fn literal_value(literal: &Lit) -> Value {
    match literal {
        Lit::Str(text) => Value::Text(text.value()),
        Lit::Bool(value) => Value::Bool(if value.value { Guard::ALWAYS } else { Guard::NEVER }),
        Lit::Int(number) => Value::Text(number.base10_digits().to_owned()),
        Lit::ByteStr(text) => String::from_utf8(text.value()).map_or(Value::Unknown, Value::Text),
        _ => Value::Unknown,
    }
}

/// The variable that an expression names.
fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        Expr::Paren(inner) => name_of(&inner.expr),
        _ => None,
    }
}

fn span_of(path: &syn::Path) -> Span {
    path.segments.first().map_or_else(Span::call_site, |segment| segment.ident.span())
}

/// The attributes of an expression, of the kinds that may have any.
fn attributes(expr: &Expr) -> &[Attribute] {
    match expr {
        Expr::Array(expr) => &expr.attrs,
        Expr::Assign(expr) => &expr.attrs,
        Expr::Binary(expr) => &expr.attrs,
        Expr::Block(expr) => &expr.attrs,
        Expr::Call(expr) => &expr.attrs,
        Expr::Closure(expr) => &expr.attrs,
        Expr::ForLoop(expr) => &expr.attrs,
        Expr::If(expr) => &expr.attrs,
        Expr::Let(expr) => &expr.attrs,
        Expr::Lit(expr) => &expr.attrs,
        Expr::Loop(expr) => &expr.attrs,
        Expr::Macro(expr) => &expr.attrs,
        Expr::Match(expr) => &expr.attrs,
        Expr::MethodCall(expr) => &expr.attrs,
        Expr::Paren(expr) => &expr.attrs,
        Expr::Path(expr) => &expr.attrs,
        Expr::Reference(expr) => &expr.attrs,
        Expr::Return(expr) => &expr.attrs,
        Expr::Struct(expr) => &expr.attrs,
        Expr::Try(expr) => &expr.attrs,
        Expr::Tuple(expr) => &expr.attrs,
        Expr::Unsafe(expr) => &expr.attrs,
        Expr::While(expr) => &expr.attrs,
        _ => &[],
    }
}
