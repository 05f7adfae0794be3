//! Names in the catalog: VSS paths, the expansion of `{n}`, and the nearest known name to a mistyped one.

use std::ops::RangeInclusive;

/// The longest name that is compared for likeness, in bytes.
const MAX_COMPARED: usize = 96;
/// The longest VSS path, in bytes.
const MAX_VSS_LEN: usize = 255;

/// Whether a text is a path of the Vehicle Signal Specification: words of letters, digits and underscores,
/// each starting with a letter, joined by dots.
pub(super) fn is_vss_path(path: &str) -> bool {
    let is_word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    path.len() <= MAX_VSS_LEN && path.split('.').all(is_word)
}

/// Whether a text has a place for the number.
pub(super) fn has_placeholder(text: &str) -> bool {
    placeholder(text).is_some()
}

/// The text with the number in each place: `{n}` plain, `{n:02}` with leading zeros.
pub(super) fn expand(text: &str, n: u32) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, width, after)) = placeholder(rest) {
        expanded.push_str(before);
        expanded.push_str(&format!("{n:0width$}"));
        rest = after;
    }
    expanded.push_str(rest);
    expanded
}

/// The first place for the number: what stands before it, its width, what stands after.
fn placeholder(text: &str) -> Option<(&str, usize, &str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find("{n") {
        let start = from + found;
        let (inside, after) = text[start + 2..].split_once('}')?;
        let width = match inside.strip_prefix(":0") {
            Some(digit) if digit.len() == 1 => digit.parse().ok(),
            _ => inside.is_empty().then_some(0),
        };
        if let Some(width) = width {
            return Some((&text[..start], width, after));
        }
        from = start + 2;
    }
    None
}

/// Reads `1..88`, both ends included.
pub(super) fn parse_range(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once("..")?;
    let range = first.trim().parse().ok()?..=last.trim().parse().ok()?;
    (!range.is_empty()).then_some(range)
}

/// The known name nearest to a mistyped one, if any is near: at most a third of its letters differ.
fn nearest<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    if name.len() > MAX_COMPARED {
        return None;
    }
    let limit = name.len().div_ceil(3);
    known
        .filter(|other| other.len() <= MAX_COMPARED && other.len().abs_diff(name.len()) <= limit)
        .map(|other| (distance(name, other), other))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, other)| other)
}

/// Insertions, deletions and replacements from one name to the other (Levenshtein); letters of either case are equal.
fn distance(a: &str, b: &str) -> usize {
    let b = b.as_bytes();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// `; did you mean ...?` if any known name is near, else nothing.
pub(super) fn did_you_mean<'k>(name: &str, known: impl Iterator<Item = &'k str>) -> String {
    nearest(name, known).map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_where_the_placeholders_are() {
        assert_eq!(expand("Cell{n}.V_{n:03}", 7), "Cell7.V_007");
        assert_eq!(expand("{name}{n:x}{n}", 7), "{name}{n:x}7");
        assert!(!has_placeholder("{n"));
        assert_eq!(parse_range("1..88"), Some(1..=88));
        assert_eq!(parse_range("8..1"), None);
        assert_eq!(parse_range("1..="), None);
    }

    #[test]
    fn paths_are_those_of_the_specification() {
        assert!(is_vss_path("Vehicle.Powertrain.TractionBattery.Cell1.Voltage"));
        for bad in ["", ".", "Vehicle.", "Vehicle.1st", "Vehicle.a-b", "Vehicle.ä", &"A".repeat(256)] {
            assert!(!is_vss_path(bad), "{bad} was taken");
        }
    }

    #[test]
    fn the_nearest_name_is_near() {
        let known = ["CellVoltage_01", "CellVoltage_11", "PackCurrent"];
        assert_eq!(nearest("CellVolt_01", known.into_iter()), Some("CellVoltage_01"));
        assert_eq!(nearest("packcurent", known.into_iter()), Some("PackCurrent"));
        assert_eq!(nearest("Speed", known.into_iter()), None);
    }
}
