//! `cargo xtask firmware`: the microcontroller's program, and what it takes of its flash and RAM.

use crate::{needs, shell};
use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _, SectionFlags, SectionKind};
use std::fs;
use std::path::{Path, PathBuf};

/// A Cortex-M4 or M7 with a floating-point unit.
pub(crate) const TARGET: &str = "thumbv7em-none-eabihf";

/// What a program takes, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Footprint {
    /// Code, constants, and the initial values of variables.
    pub(crate) flash: u64,
    /// Variables; the stack is not among them.
    pub(crate) ram: u64,
}

/// Builds the firmware and prints its place and footprint.
pub(crate) fn run() -> Result<()> {
    let binary = build()?;
    println!("{}: {}", binary.display(), line(footprint(&binary)?));
    Ok(())
}

/// Builds the firmware as it is flashed; gives its place. Alone: in a workspace build its neighbours would switch
/// features on that a microcontroller lacks.
pub(crate) fn build() -> Result<PathBuf> {
    needs::targets(&[TARGET])?;
    shell::run(&mut shell::cargo(["build", "--release", "--package=telltale-firmware", "--target", TARGET]))?;
    Ok(shell::target_dir().join(TARGET).join("release/telltale-firmware"))
}

/// Reads the footprint from the sections of an ELF file.
pub(crate) fn footprint(binary: &Path) -> Result<Footprint> {
    let bytes = fs::read(binary).with_context(|| format!("{} cannot be read", binary.display()))?;
    let elf = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF file", binary.display()))?;
    let mut footprint = Footprint { flash: 0, ram: 0 };
    for section in elf.sections() {
        let SectionFlags::Elf { sh_flags, .. } = section.flags() else { continue };
        if sh_flags & u64::from(object::elf::SHF_ALLOC) == 0 {
            continue;
        }
        let (held, written) = (section.size(), sh_flags & u64::from(object::elf::SHF_WRITE) != 0);
        // What is written has its place in RAM; its initial values, if it has any, come from flash.
        let initial = !matches!(section.kind(), SectionKind::UninitializedData);
        footprint.ram += if written { held } else { 0 };
        footprint.flash += if initial { held } else { 0 };
    }
    Ok(footprint)
}

pub(crate) fn line(footprint: Footprint) -> String {
    format!("{} bytes of flash, {} of RAM without stack and ring", footprint.flash, footprint.ram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_footprint_is_told_in_bytes() {
        let text = line(Footprint { flash: 24_652, ram: 2_136 });
        assert_eq!(text, "24652 bytes of flash, 2136 of RAM without stack and ring");
    }

    #[test]
    fn this_program_has_sections_and_a_text_has_none() {
        let footprint = footprint(&std::env::current_exe().unwrap()).unwrap();
        assert!(footprint.flash > 100_000 && footprint.ram > 1_000, "{footprint:?}");
        assert!(super::footprint(Path::new(file!())).is_err());
    }
}
