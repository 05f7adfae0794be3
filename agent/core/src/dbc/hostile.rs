//! Hostile text: whatever stands in a DBC or catalog file, reading it ends, and ends without a panic.

use super::{Database, Severity};
use crate::catalog::{self, Catalog};

const DBC: &str = include_str!("../../../../tests/fixtures/dbc/every_layout.dbc");
const ROUNDS: u64 = 300;

/// What mutations put in: pieces of the grammar, limits of its numbers, and bytes that are no text.
const PIECES: [&[u8]; 22] = [
    b"\"",
    b"\\\"",
    b";",
    b"\n",
    b"BO_ ",
    b"SG_ ",
    b"SG_MUL_VAL_ 296 Switch Switch 0-1;\n",
    b"VAL_ 1 ",
    b"CM_ \"",
    b"m1M ",
    b"18446744073709551615",
    b"4294967296",
    b"-1",
    b"1e400",
    b"0|0@1+",
    b"|64@0-",
    b"511|",
    b"{n}",
    b"\0",
    b"\xff\xfe",
    b"[[signal]]\n",
    b"sentinels = [-9223372036854775808]\n",
];

/// SplitMix64: enough to vary the cases, and the same in every run.
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }
}

fn mutate(text: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(6) {
        let at = rng.below(text.len() + 1);
        let len = rng.below(24).min(text.len() - at);
        match rng.below(4) {
            0 => drop(text.drain(at..at + len)),
            1 => drop(text.splice(at..at, PIECES[rng.below(PIECES.len())].iter().copied())),
            2 => {
                let copy = text[at..at + len].to_vec();
                let to = rng.below(text.len() + 1);
                drop(text.splice(to..to, copy));
            }
            _ => text.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.below(256) as u8),
        }
    }
}

#[test]
fn no_mutation_of_a_dbc_file_panics() {
    let mut rng = Rng(1);
    for _ in 0..ROUNDS {
        let mut text = DBC.as_bytes().to_vec();
        mutate(&mut text, &mut rng);
        let (database, _) = Database::parse(&text, "t.dbc");
        let payload: Vec<u8> = (0..64).map(|_| rng.below(256) as u8).collect();
        for message in &database.messages {
            let Ok(values) = message.decode(&payload) else { continue };
            let given: Vec<(&str, f64)> = values.iter().map(|v| (v.signal.name.as_str(), v.value)).collect();
            let _ = message.encode(&given);
        }
        // Whatever the names are, the first catalog of the file is valid.
        let first = catalog::init(&[database]);
        let catalog = Catalog::parse(&first, "c.toml", &mut |_| Ok(text.clone()));
        let catalog = catalog.unwrap_or_else(|error| panic!("{error}\nof\n{first}"));
        let _ = catalog.decoder();
    }
}

#[test]
fn no_mutation_of_a_catalog_panics() {
    let mut rng = Rng(2);
    let (database, _) = Database::parse(DBC, "t.dbc");
    let good = catalog::init(&[database]);
    for _ in 0..ROUNDS / 5 {
        let mut text = good.clone().into_bytes();
        mutate(&mut text, &mut rng);
        let text = String::from_utf8_lossy(&text);
        if let Ok(catalog) = Catalog::parse(&text, "c.toml", &mut |_| Ok(DBC.into())) {
            let _ = catalog.decoder();
        }
    }
}

#[test]
fn repetition_without_end_is_bounded() {
    let nested = "[".repeat(100_000);
    assert!(Catalog::parse(&format!("schema = {nested}"), "c.toml", &mut |_| Ok(Vec::new())).is_err());
    for piece in [
        "BO_ 1 A: 8 X\n",
        "CM_ \"\n",
        "\"",
        "VAL_ 1 s 0 \"",
        "SG_ s : 0|1@1+ (1,0) [0|0] \"\" X\n",
        "NS_ :\n BO_",
    ] {
        let text = piece.repeat(40_000 / piece.len());
        let (_, findings) = Database::parse(&text, "t.dbc");
        assert!(findings.len() <= super::MAX_DIAGNOSTICS + 1);
        assert!(findings.iter().any(|finding| finding.severity >= Severity::Warning), "{piece}");
    }
    let (database, findings) = Database::parse(vec![b' '; super::MAX_FILE_LEN + 1], "t.dbc");
    assert!(database.messages.is_empty() && findings[0].severity == Severity::Error);
}
