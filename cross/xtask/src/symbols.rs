//! Debug symbols, kept apart from the binary that ships: `telltale.debug` beside `telltale`, found by its build id.
//!
//! The vehicle's file has neither symbols nor line tables; an address from its kernel's log or from a core is read with
//! `aarch64-linux-gnu-addr2line -Cfie telltale.debug 0x1234`, and a debugger follows the link by itself.

use crate::shell;
use anyhow::{Context as _, Result, ensure};
use object::{Object as _, ObjectSection as _};
use std::fs;
use std::path::{Path, PathBuf};

/// A binary without symbols, what was taken from it, and the build id that both have.
pub(crate) struct Split {
    pub(crate) binary: PathBuf,
    pub(crate) debug: PathBuf,
    pub(crate) build_id: String,
}

/// Splits a linked binary into a folder; the linked one stays as it is.
///
/// # Errors
/// If it has no build id or no line tables: then the symbols could not be found, or would say nothing.
pub(crate) fn split(linked: &Path, folder: &Path) -> Result<Split> {
    fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    let name = linked.file_name().context("a binary has a name")?;
    let binary = folder.join(name);
    let debug = binary.with_extension("debug");
    let sysroot = shell::output(shell::program("rustc").args(["--print", "sysroot"]))?;
    let objcopy = objcopy(sysroot.trim())?;
    // Its LLVM is the compiler's, which cargo lets it find; this command may have been started without cargo.
    let libraries = Path::new(sysroot.trim()).join("lib");
    let run = |words: &[&str], from: &Path, to: &Path| {
        // From the folder: the link to the symbols names no folder.
        let mut copy = shell::program(&objcopy);
        copy.args(words).arg(from).arg(to).current_dir(folder).env("LD_LIBRARY_PATH", &libraries);
        shell::output(&mut copy).map(drop)
    };
    run(&["--only-keep-debug"], linked, &debug)?;
    let link = format!("--add-gnu-debuglink={}", debug.file_name().unwrap_or_default().to_string_lossy());
    run(&["--strip-all", &link], linked, &binary)?;
    let build_id = build_id(&binary)?;
    ensure!(build_id == self::build_id(&debug)?, "{} is of another build", debug.display());
    ensure!(has_section(&debug, ".debug_line")?, "{} holds no line tables", debug.display());
    ensure!(!has_section(&binary, ".symtab")?, "{} has symbols still", binary.display());
    Ok(Split { binary, debug, build_id })
}

/// The one that comes with Rust: it knows every target that the compiler knows.
fn objcopy(sysroot: &str) -> Result<PathBuf> {
    let host = shell::output(shell::program("rustc").args(["--print", "host-tuple"]))?;
    let path = Path::new(sysroot).join("lib/rustlib").join(host.trim()).join("bin/rust-objcopy");
    ensure!(path.is_file(), "this toolchain has no {}", path.display());
    Ok(path)
}

fn build_id(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let file = object::File::parse(&*bytes)?;
    let id = file.build_id()?.with_context(|| format!("{} has no build id", path.display()))?;
    Ok(id.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn has_section(path: &Path, name: &str) -> Result<bool> {
    let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let file = object::File::parse(&*bytes)?;
    Ok(file.section_by_name(name).is_some_and(|section| section.size() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::ObjectSymbol as _;
    use std::env;

    /// The function begins in its third line.
    const PROGRAM: &str = "#[inline(never)]\n#[unsafe(no_mangle)]\npub extern \"C\" fn where_it_fails(x: u8) -> u8 {\n\
         \x20   x ^ 3\n}\nfn main() { std::process::exit(where_it_fails(7).into()) }\n";

    /// What a vehicle tells is an address; the symbols beside it make a function, a file and a line of it.
    #[test]
    fn an_address_of_the_stripped_binary_is_read_with_the_symbols_beside_it() {
        let folder = env::temp_dir().join(format!("telltale-symbols-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let source = folder.join("fails.rs");
        fs::write(&source, PROGRAM).unwrap();
        let flags = ["-Cdebuginfo=line-tables-only", "-Clink-arg=-Wl,--build-id=sha1"];
        let remap = format!("--remap-path-prefix={}=/there", folder.display());
        let linked = folder.join("fails");
        let mut rustc = shell::program("rustc");
        shell::output(rustc.args(flags).arg(remap).arg("-o").arg(&linked).arg(&source)).unwrap();

        let before = fs::read(&linked).unwrap();
        let file = object::File::parse(&*before).unwrap();
        let address = file.symbols().find(|symbol| symbol.name() == Ok("where_it_fails")).unwrap().address();
        let Split { binary, debug, build_id } = split(&linked, &folder.join("split")).unwrap();
        assert_eq!(build_id.len(), 40, "{build_id}");
        assert!(fs::metadata(&binary).unwrap().len() * 2 < before.len() as u64);
        let bytes = fs::read(&binary).unwrap();
        let stripped = object::File::parse(&*bytes).unwrap();
        let (link, _) = stripped.gnu_debuglink().unwrap().unwrap();
        assert_eq!(Some(link), debug.file_name().map(|name| name.as_encoded_bytes()));
        let ran = shell::program(&binary).status().unwrap();
        assert_eq!(ran.code(), Some(4), "it runs as before");

        let read = |file: &Path| {
            let mut addr2line = shell::program("addr2line");
            shell::output(addr2line.arg("-fe").arg(file).arg(format!("{address:#x}"))).unwrap()
        };
        assert_eq!(read(&debug), "where_it_fails\n/there/fails.rs:3\n");
        // Alone it says nothing, wherever no debugger finds the file beside it.
        fs::remove_file(&debug).unwrap();
        assert!(read(&binary).contains("??"), "{}", read(&binary));
        assert!(split(&binary, &folder.join("again")).is_err(), "what has no line tables is refused");
        fs::remove_dir_all(&folder).unwrap();
    }
}
