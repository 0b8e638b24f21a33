//! A JSON Schema validator for the keywords that the reports' schemas use. It fails on any other, so that none is
//! overlooked, on fields that the schema does not name, and on schemas that do not promise all of their fields.

use serde_json::Value;

/// Panics where `value` is not what `schema` says.
pub(crate) fn check(schema: &Value, value: &Value) {
    Validator { root: schema }.check(schema, value, "$");
}

struct Validator<'s> {
    root: &'s Value,
}

impl Validator<'_> {
    fn check(&self, schema: &Value, value: &Value, path: &str) {
        if let Err(problem) = self.problem(schema, value, path) {
            panic!("{problem}");
        }
    }

    fn problem(&self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        let Value::Object(keywords) = schema else { return Err(format!("{path}: schema is {schema}")) };
        for (keyword, argument) in keywords {
            self.keyword(keyword, argument, schema, value, path)?;
        }
        Ok(())
    }

    fn keyword(
        &self,
        keyword: &str,
        argument: &Value,
        schema: &Value,
        value: &Value,
        path: &str,
    ) -> Result<(), String> {
        let ok = match keyword {
            "$schema" | "$defs" | "title" | "description" | "format" => true,
            "$ref" => {
                let target = self.root.pointer(argument.as_str().unwrap().strip_prefix('#').unwrap());
                return self.problem(target.unwrap_or_else(|| panic!("{argument} is not there")), value, path);
            }
            "anyOf" => argument.as_array().unwrap().iter().any(|option| self.problem(option, value, path).is_ok()),
            "type" => match argument {
                Value::Array(types) => types.iter().any(|kind| is_of(kind, value)),
                kind => is_of(kind, value),
            },
            "enum" => argument.as_array().unwrap().contains(value),
            "minimum" => value.as_f64().is_none_or(|number| number >= argument.as_f64().unwrap()),
            "maximum" => value.as_f64().is_none_or(|number| number <= argument.as_f64().unwrap()),
            "minLength" | "maxLength" => value.as_str().is_none_or(|text| text.chars().count() == 1),
            "pattern" => value.as_str().is_none_or(is_hex),
            "required" => {
                let missing = |name: &&Value| value.get(name.as_str().unwrap()).is_none();
                return match argument.as_array().unwrap().iter().find(missing) {
                    Some(name) => Err(format!("{path}: {name} is missing")),
                    None => Ok(()),
                };
            }
            "properties" => return self.properties(schema, value, path),
            "additionalProperties" => {
                for (name, field) in value.as_object().into_iter().flatten() {
                    self.problem(argument, field, &format!("{path}.{name}"))?;
                }
                true
            }
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    self.problem(argument, item, &format!("{path}[{index}]"))?;
                }
                true
            }
            _ => return Err(format!("{path}: this validator does not know the keyword {keyword}")),
        };
        if ok { Ok(()) } else { Err(format!("{path}: {value} is against {keyword}: {argument}")) }
    }

    fn properties(&self, schema: &Value, value: &Value, path: &str) -> Result<(), String> {
        let required = schema["required"].as_array().map_or(0, Vec::len);
        if required != schema["properties"].as_object().map_or(0, serde_json::Map::len) {
            return Err(format!("{path}: a field that is always there, if only as null, is not required"));
        }
        for (name, field) in value.as_object().into_iter().flatten() {
            let Some(expected) = schema["properties"].get(name) else {
                return Err(format!("{path}: {name} is not in the schema"));
            };
            self.problem(expected, field, &format!("{path}.{name}"))?;
        }
        Ok(())
    }
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("unknown type {other}"),
    }
}

/// The one pattern: that of addresses and raw values.
fn is_hex(text: &str) -> bool {
    let Some(digits) = text.strip_prefix("0x") else { return false };
    let lower = digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    lower && matches!(digits.len(), 1..=16) && (digits == "0" || !digits.starts_with('0'))
}
