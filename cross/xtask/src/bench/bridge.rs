//! `cargo xtask bench bridge`: what the firmware takes of its microcontroller.
//!
//! Flash and RAM are those of the ELF file. The stack is painted before the start, and the firmware tells how much paint
//! is left; it is asked after the system tests have sent it everything they have: a drive, noise, floods, absences. That is
//! the deepest that was seen, not a bound that was proven.

use crate::{firmware, shell, suite};
use anyhow::{Context as _, Result};
use serde_json::Value;

/// The system tests that drive the firmware, and the word before what they measured.
const TESTS: &str = "bridge_machine";
const MEASURED: &str = "measured: ";

/// Builds the firmware, drives it in QEMU, and prints what it takes.
pub(crate) fn run(json: bool) -> Result<()> {
    let footprint = firmware::footprint(&firmware::build()?)?;
    let mut tests =
        suite::prepared(&["-p", "telltale-tests", TESTS, "--", "--nocapture"].map(str::to_owned))?;
    let printed = shell::output(&mut tests)?;
    let stack = deepest(&printed).with_context(|| format!("the tests measured no stack:\n{printed}"))?;
    if json {
        let line = serde_json::json!({
            "bench": "bridge", "flash_bytes": footprint.flash, "ram_bytes": footprint.ram, "stack_bytes": stack,
        });
        println!("{line}");
    } else {
        println!(
            "bridge firmware  {}\nbridge stack     {stack} bytes at the deepest that was seen",
            firmware::line(footprint)
        );
    }
    Ok(())
}

/// The deepest of the stacks that the tests printed.
fn deepest(printed: &str) -> Option<u64> {
    let lines = printed.lines().filter_map(|line| line.split_once(MEASURED));
    let values = lines.filter_map(|(_, json)| serde_json::from_str::<Value>(json).ok());
    values.filter_map(|value| value["stack_bytes"].as_u64()).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_stack_of_all_tests_counts() {
        let printed =
            "test a ... measured: {\"stack_bytes\":300}\nok\nmeasured: {\"stack_bytes\":900}\nmeasured: x\n";
        assert_eq!(deepest(printed), Some(900));
        assert_eq!(deepest("test a ... ok\n"), None);
    }
}
