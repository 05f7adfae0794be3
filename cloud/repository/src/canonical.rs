//! Canonical JSON, the bytes that a signature covers (OLPC's form, as TUF's reference implementation writes it): keys
//! sorted, no white space, only `"` and `\` escaped, integers only.

use crate::RepositoryError;
use serde_json::Value;

/// The canonical bytes.
///
/// # Errors
/// [`RepositoryError::NotCanonical`] for a number that is no integer.
pub fn canonical(value: &Value) -> Result<Vec<u8>, RepositoryError> {
    let mut bytes = Vec::new();
    write(value, &mut bytes)?;
    Ok(bytes)
}

fn write(value: &Value, bytes: &mut Vec<u8>) -> Result<(), RepositoryError> {
    match value {
        Value::Null => bytes.extend_from_slice(b"null"),
        Value::Bool(flag) => bytes.extend_from_slice(if *flag { b"true" } else { b"false" }),
        Value::Number(number) if number.is_i64() || number.is_u64() => {
            bytes.extend_from_slice(number.to_string().as_bytes());
        }
        Value::Number(number) => return Err(RepositoryError::NotCanonical(number.to_string())),
        Value::String(text) => string(text, bytes),
        Value::Array(items) => {
            bytes.push(b'[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    bytes.push(b',');
                }
                write(item, bytes)?;
            }
            bytes.push(b']');
        }
        Value::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| *key);
            bytes.push(b'{');
            for (at, (key, value)) in entries.into_iter().enumerate() {
                if at > 0 {
                    bytes.push(b',');
                }
                string(key, bytes);
                bytes.push(b':');
                write(value, bytes)?;
            }
            bytes.push(b'}');
        }
    }
    Ok(())
}

fn string(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            bytes.push(b'\\');
        }
        bytes.push(byte);
    }
    bytes.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_sorted_and_only_two_letters_escaped() {
        let value = json!({ "b": [1, -2, true, null], "a": "x\n\"\\ä" });
        assert_eq!(canonical(&value).unwrap(), "{\"a\":\"x\n\\\"\\\\ä\",\"b\":[1,-2,true,null]}".as_bytes());
    }

    #[test]
    fn a_fraction_is_refused() {
        assert!(matches!(canonical(&json!([0.5])), Err(RepositoryError::NotCanonical(_))));
    }
}
