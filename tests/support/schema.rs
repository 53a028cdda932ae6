//! A small checker for the part of JSON Schema that convoy's own schemas use. A keyword that it does not know is an
//! error, so that nothing goes unchecked in silence.

use serde_json::Value;

/// What in `value` goes against `schema`, each with its place.
pub fn faults(schema: &Value, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(schema, schema, value, "$", &mut faults);
    faults
}

fn check(root: &Value, schema: &Value, value: &Value, place: &str, faults: &mut Vec<String>) {
    let Some(keywords) = schema.as_object() else {
        if schema == &Value::Bool(false) {
            faults.push(format!("{place}: nothing may be here"));
        }
        return;
    };
    for (keyword, rule) in keywords {
        match keyword.as_str() {
            "$schema" | "title" | "description" | "$defs" | "default" | "required" | "properties" => {}
            "$ref" => {
                let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                check(root, &root["$defs"][name], value, place, faults);
            }
            "type" => {
                let types: Vec<&str> = match rule {
                    Value::Array(list) => list.iter().map(|name| name.as_str().unwrap()).collect(),
                    one => vec![one.as_str().unwrap()],
                };
                if !types.iter().any(|name| is_a(value, name)) {
                    faults.push(format!("{place}: {value} is no {}", types.join(" or ")));
                }
            }
            "format" => match rule.as_str().unwrap() {
                "uint" | "uint8" | "uint16" | "uint32" | "uint64" => {
                    if !value.is_null() && !value.is_u64() {
                        faults.push(format!("{place}: {value} is no unsigned number"));
                    }
                }
                "double" => {}
                other => panic!("the checker knows no format `{other}`"),
            },
            "minimum" | "maximum" => {
                let (Some(number), Some(limit)) = (value.as_f64(), rule.as_f64()) else { continue };
                if (keyword == "minimum" && number < limit) || (keyword == "maximum" && number > limit) {
                    faults.push(format!("{place}: {value} is beyond the {keyword} {rule}"));
                }
            }
            "const" if value != rule => faults.push(format!("{place}: {value} is not {rule}")),
            "const" => {}
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    faults.push(format!("{place}: {value} is none of {rule}"));
                }
            }
            "pattern" => {
                assert_eq!(rule, r"^\d+\.\d+$", "the checker knows no other pattern");
                let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                let fits = |text: &str| text.split_once('.').is_some_and(|(a, b)| number(a) && number(b));
                if value.as_str().is_some_and(|text| !fits(text)) {
                    faults.push(format!("{place}: {value} does not fit {rule}"));
                }
            }
            "uniqueItems" => {
                let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
                if rule == true && items.iter().enumerate().any(|(index, item)| items[..index].contains(item)) {
                    faults.push(format!("{place}: {value} holds something twice"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, rule, item, &format!("{place}[{index}]"), faults);
                }
            }
            "additionalProperties" => {
                let known = keywords.get("properties").and_then(Value::as_object);
                for (name, item) in value.as_object().into_iter().flatten() {
                    if known.is_none_or(|known| !known.contains_key(name)) {
                        check(root, rule, item, &format!("{place}.{name}"), faults);
                    }
                }
            }
            "anyOf" | "oneOf" => {
                let fits = rule.as_array().unwrap().iter().filter(|option| {
                    let mut found = Vec::new();
                    check(root, option, value, place, &mut found);
                    found.is_empty()
                });
                let count = fits.count();
                if count == 0 || (keyword == "oneOf" && count > 1) {
                    faults.push(format!("{place}: {value} fits {count} of {keyword}"));
                }
            }
            other => panic!("the checker knows no keyword `{other}` ({place})"),
        }
    }
    if let Some(object) = value.as_object() {
        for name in keywords.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !object.contains_key(name.as_str().unwrap()) {
                faults.push(format!("{place}: {name} is missing"));
            }
        }
        if let Some(properties) = keywords.get("properties").and_then(Value::as_object) {
            for (name, rule) in properties {
                if let Some(value) = object.get(name) {
                    check(root, rule, value, &format!("{place}.{name}"), faults);
                }
            }
        }
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the checker knows no type `{other}`"),
    }
}
