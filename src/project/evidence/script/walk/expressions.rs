//! Expressions.

use std::collections::HashMap;

use syn::visit::{self, Visit};
use syn::{Attribute, BinOp, Block, Expr, ExprIf, ExprMacro, ExprMatch, Item, Lit, Macro, UnOp};

use super::statements::name_of;
use super::{DEEPEST, Flow, MOST_STEPS, Walk};
use crate::project::evidence::script::value::Value;
use crate::project::evidence::{Call, Guard, What};

impl Walk<'_> {
    /// Walks through an expression and tells what it is.
    pub(super) fn value(&mut self, expr: &Expr) -> Value {
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
            other => self.flow_value(other),
        }
    }

    /// What changes a variable, leaves a block or goes round in a loop; of anything else only its parts matter.
    fn flow_value(&mut self, expr: &Expr) -> Value {
        match expr {
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
    pub(super) fn require(&mut self, value: &Value) {
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

pub(super) fn literal_value(literal: &Lit) -> Value {
    match literal {
        Lit::Str(text) => Value::Text(text.value()),
        Lit::Bool(value) => Value::Bool(if value.value { Guard::ALWAYS } else { Guard::NEVER }),
        Lit::Int(number) => Value::Text(number.base10_digits().to_owned()),
        Lit::ByteStr(text) => String::from_utf8(text.value()).map_or(Value::Unknown, Value::Text),
        _ => Value::Unknown,
    }
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
