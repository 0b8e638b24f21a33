//! A member of a kernel structure that evidence names has an address: what was read there can be read again.

use serde_json::Value;

/// The evidence in an answer that names a member and not where it is.
pub(crate) fn without_address(answer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    collect(answer, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| collect(one, found)),
        Value::Object(object) => {
            let what = object.get("what").and_then(Value::as_str).filter(|what| is_member(what));
            if let Some(what) = what.filter(|_| object.get("meaning").is_some() && object["address"].is_null()) {
                found.push(what.to_owned());
            }
            object.values().for_each(|one| collect(one, found));
        }
        _ => {}
    }
}

/// `type.member`, other than a register that a note has.
fn is_member(what: &str) -> bool {
    let is_name =
        |part: &str| part.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_' || letter.is_ascii_digit());
    what.contains('.') && what.split('.').all(is_name)
}
