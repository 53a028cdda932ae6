//! Statements, variables and the patterns that bind them.

use std::collections::HashMap;

use syn::punctuated::Punctuated;
use syn::{Block, Expr, Local, Pat, Stmt, Token};

use super::expressions::literal_value;
use super::{Flow, Variable, Walk};
use crate::project::evidence::Guard;
use crate::project::evidence::script::value::Value;

impl Walk<'_> {
    pub(super) fn block(&mut self, block: &Block) -> Value {
        self.statements(&block.stmts)
    }

    pub(super) fn statements(&mut self, statements: &[Stmt]) -> Value {
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

    pub(super) fn variable(&mut self, name: &str) -> Option<&mut Variable> {
        let first = self.frames.last().map_or(0, |frame| frame.scopes);
        self.scopes.get_mut(first..)?.iter_mut().rev().find_map(|scope| scope.get_mut(name))
    }

    /// `name = value`: where it is under a condition, the old value remains where that does not hold.
    pub(super) fn assign(&mut self, name: &str, value: Value) {
        let path = self.path.clone();
        if let Some(variable) = self.variable(name) {
            let since = Guard::all(path.iter().skip(variable.conditions).cloned());
            let before = std::mem::take(&mut variable.value);
            variable.value = Value::either(vec![(since.clone(), value), (since.negated(), before)]);
        }
    }

    /// A variable is changed in ways that are not followed.
    pub(super) fn forget(&mut self, expr: &Expr) {
        let Some(name) = name_of(expr) else { return };
        if let Some(variable) = self.variable(&name)
            && matches!(variable.value, Value::Text(_) | Value::Bool(_) | Value::List(_) | Value::Either(_))
        {
            variable.value = Value::Unknown;
        }
    }

    /// `list.push(value)`.
    pub(super) fn push(&mut self, expr: &Expr, member: Value) {
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

    pub(super) fn bind(&mut self, pattern: &Pat, value: &Value) {
        self.matches(pattern, value);
    }

    /// When a value fits a pattern; binds its names.
    pub(super) fn matches(&mut self, pattern: &Pat, value: &Value) -> Guard {
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
}

/// The variable that an expression names.
pub(super) fn name_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Path(path) => path.path.get_ident().map(ToString::to_string),
        Expr::Paren(inner) => name_of(&inner.expr),
        _ => None,
    }
}
