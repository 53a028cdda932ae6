//! The value of an expression of a build script, as far as it is known without running it.

use super::Guard;
use crate::project::evidence::guard;

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) enum Value {
    /// Anything.
    #[default]
    Unknown,
    /// Whether something holds.
    Bool(Guard),
    /// The value of an environment variable, or whether there is one.
    Env(String),
    /// A text.
    Text(String),
    /// A text of which only the end is known.
    End(String),
    /// An array, a tuple.
    List(Vec<Value>),
    /// Something that a helper crate made, and the number of that among the calls.
    Made(String, usize),
    /// What pkg-config says of a library: its number among the calls, and its name.
    Library(usize, Option<String>),
    /// `None`, `Err(…)`.
    Nothing,
    /// `Some(…)`, `Ok(…)` of anything.
    Something,
    /// One of these, under conditions.
    Either(Vec<(Guard, Value)>),
}

/// Members beyond which a choice is not worth keeping.
const LARGEST: usize = 16;

impl Value {
    /// One of these.
    pub(crate) fn either(list: Vec<(Guard, Value)>) -> Value {
        let mut flat: Vec<(Guard, Value)> = Vec::new();
        for (guard, value) in list {
            match value {
                _ if guard == Guard::NEVER => {}
                Value::Either(inner) => {
                    let under = |(own, value)| (Guard::all([guard.clone(), own]), value);
                    flat.extend(inner.into_iter().map(under));
                }
                value => flat.push((guard, value)),
            }
        }
        flat.retain(|(guard, _)| *guard != Guard::NEVER);
        match flat.len() {
            0 => Value::Unknown,
            1 => flat.remove(0).1,
            _ if flat.len() > LARGEST || flat.iter().all(|(_, value)| *value == Value::Unknown) => Value::Unknown,
            _ => Value::Either(flat),
        }
    }

    /// Whether it is `true`.
    pub(crate) fn holds(&self) -> Guard {
        match self {
            Value::Bool(guard) => guard.clone(),
            Value::Nothing => Guard::NEVER,
            _ => self.each(&Value::holds),
        }
    }

    /// Whether it is `Some`, or `Ok`.
    pub(crate) fn is_there(&self) -> Guard {
        match self {
            Value::Env(name) => guard::is_set(name),
            Value::Library(_, Some(name)) => Guard::Library { name: name.clone(), found: true },
            Value::Text(_) | Value::List(_) | Value::Something => Guard::ALWAYS,
            Value::Nothing => Guard::NEVER,
            _ => self.each(&Value::is_there),
        }
    }

    /// Whether it is this text.
    pub(crate) fn is(&self, text: &str) -> Guard {
        match self {
            Value::Env(name) => guard::is(name, text),
            Value::Text(own) if own == text => Guard::ALWAYS,
            Value::Text(_) | Value::Nothing => Guard::NEVER,
            _ => self.each(&|value| value.is(text)),
        }
    }

    /// Whether two are equal.
    pub(crate) fn equals(&self, other: &Value) -> Guard {
        match (self, other) {
            (Value::Text(text), value) | (value, Value::Text(text)) => value.is(text),
            (Value::Bool(one), Value::Bool(two)) => {
                let both = Guard::all([one.clone(), two.clone()]);
                Guard::any([both, Guard::all([one.negated(), two.negated()])])
            }
            (Value::Nothing, value) | (value, Value::Nothing) => value.is_there().negated(),
            (Value::List(one), Value::List(two)) if one.len() == two.len() => {
                Guard::all(one.iter().zip(two).map(|(one, two)| one.equals(two)))
            }
            (Value::Either(list), other) | (other, Value::Either(list)) => {
                Guard::any(list.iter().map(|(guard, value)| Guard::all([guard.clone(), value.equals(other)])))
            }
            _ => Guard::Unknown,
        }
    }

    /// Whether it contains, begins or ends with a text by `test`, or has it as a member.
    pub(crate) fn contains(&self, part: &Value, test: fn(&str, &str) -> bool) -> Guard {
        match (self, part) {
            // An empty one is filled in some other way.
            (Value::List(list), part) if !list.is_empty() => Guard::any(list.iter().map(|member| member.equals(part))),
            (Value::Env(name), Value::Text(part)) => guard::contains(name, part),
            (Value::Text(own), Value::Text(part)) => {
                if test(own, part) {
                    Guard::ALWAYS
                } else {
                    Guard::NEVER
                }
            }
            (whole, Value::Either(list)) => {
                Guard::any(list.iter().map(|(guard, part)| Guard::all([guard.clone(), whole.contains(part, test)])))
            }
            _ => self.each(&|value| value.contains(part, test)),
        }
    }

    /// What is in it where it is `Some` or `Ok`.
    pub(crate) fn inner(self) -> Value {
        match self {
            Value::Either(list) => {
                Value::either(list.into_iter().filter(|(_, value)| *value != Value::Nothing).collect())
            }
            other => other,
        }
    }

    /// The texts that it can be, with the conditions.
    pub(crate) fn texts(&self) -> Vec<(Guard, String)> {
        match self {
            Value::Text(text) => vec![(Guard::ALWAYS, text.clone())],
            Value::Either(list) => {
                let under = |(guard, value): &(Guard, Value)| match value {
                    Value::Text(text) => Some((guard.clone(), text.clone())),
                    _ => None,
                };
                list.iter().filter_map(under).collect()
            }
            _ => Vec::new(),
        }
    }

    /// In lower case.
    pub(crate) fn lowercase(self) -> Value {
        if let Value::Text(text) = self { Value::Text(text.to_lowercase()) } else { self }
    }

    /// Its members, as one of them.
    pub(crate) fn member(self) -> Value {
        match self {
            // Each has its turn.
            Value::List(list) => Value::either(list.into_iter().map(|value| (Guard::ALWAYS, value)).collect()),
            Value::Text(_) | Value::Bool(_) | Value::Nothing | Value::Something => Value::Unknown,
            other => other,
        }
    }

    fn each(&self, test: &dyn Fn(&Value) -> Guard) -> Guard {
        match self {
            Value::Either(list) => {
                Guard::any(list.iter().map(|(guard, value)| Guard::all([guard.clone(), test(value)])))
            }
            _ => Guard::Unknown,
        }
    }
}
