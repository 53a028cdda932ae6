//! Walks through a build script from `main` on, into every branch, with what is known about the branch.

mod calls;
mod expressions;
mod finds;
mod macros;
mod statements;

use std::collections::{BTreeSet, HashMap};

use proc_macro2::Span;
use syn::{Attribute, Expr, ExprClosure};

use super::names::Names;
use super::tree::Tree;
use super::value::Value;
use super::{Call, Guard, What};
use crate::project::evidence::guard;
use crate::project::evidence::rust::cfgs;

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

/// What a script does, in order.
pub(super) fn calls(tree: &Tree<'_>, helpers: &BTreeSet<String>) -> Vec<Call> {
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
    walk.calls
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
    tree: &'t Tree<'t>,
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
    steps: usize,
    depth: usize,
    /// Whether it ended somewhere for being too long or too deep.
    cut: bool,
}

impl Walk<'_> {
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
}

fn span_of(path: &syn::Path) -> Span {
    path.segments.first().map_or_else(Span::call_site, |segment| segment.ident.span())
}
