//! The registry: which models there are, where each comes from, and who answers for it.
//!
//! A model comes in as a bundle's index with its chunks, every chunk checked against the index. What the bundle says of
//! its own origin (data, recipe, author, tools) is kept as it stands. A second person approves a model before any
//! rollout may use it; a revoked one is offered to nobody.

mod import;

pub use import::{ImportError, import};

use serde_json::Value;

/// The longest provenance that is read, in bytes.
pub const MAX_PROVENANCE: usize = 256 * 1024;
/// The most lines of lineage that are shown.
const MAX_LINES: usize = 200;
/// The longest text of a line that is shown.
const MAX_TEXT: usize = 400;

/// Who made a model, by its provenance.
#[must_use]
pub fn author(provenance: &Value) -> Option<&str> {
    provenance.get("author")?.as_str().map(str::trim).filter(|name| !name.is_empty())
}

/// A provenance as lines for a person: the path of each value, and the value.
#[must_use]
pub fn lineage(provenance: &Value) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    walk(provenance, "", &mut lines);
    lines
}

fn walk(value: &Value, path: &str, lines: &mut Vec<(String, String)>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        _ if lines.len() >= MAX_LINES => {}
        Value::Object(map) => map.iter().for_each(|(key, value)| walk(value, &below(key), lines)),
        Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                walk(value, &below(&number.to_string()), lines);
            }
        }
        Value::String(text) => lines.push((path.to_owned(), shown(text))),
        Value::Null | Value::Bool(_) | Value::Number(_) => lines.push((path.to_owned(), value.to_string())),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lineage_is_read_by_path_and_bounded() {
        let value: Value =
            serde_json::from_str(r#"{"author":" ann ","data":{"digest":"ab","rows":3},"tools":["a","b"]}"#)
                .unwrap();
        assert_eq!(author(&value), Some("ann"));
        let lines = lineage(&value);
        assert!(lines.contains(&("data.digest".into(), "ab".into())), "{lines:?}");
        assert!(lines.contains(&("tools.1".into(), "b".into())), "{lines:?}");
        let wide = Value::Array((0..1_000).map(Value::from).collect());
        assert_eq!(lineage(&wide).len(), MAX_LINES);
        assert_eq!(author(&Value::from("x")), None);
    }
}
