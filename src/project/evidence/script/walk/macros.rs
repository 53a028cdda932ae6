//! Macros.

use std::collections::HashMap;

use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::{Expr, LitStr, Macro, Meta, Pat, Token};

use super::{MOST_MEMBERS, Walk, span_of};
use crate::project::evidence::rust::{branches, statements_of};
use crate::project::evidence::script::value::Value;
use crate::project::evidence::{Guard, guard};

impl Walk<'_> {
    pub(super) fn macro_call(&mut self, call: &Macro) -> Value {
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
