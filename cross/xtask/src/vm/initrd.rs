//! The initial RAM file system: a cpio archive in the `newc` format (Linux: Documentation/driver-api/early-userspace/
//! buffer-format.rst), so simple that writing it takes less than asking for a tool.

use anyhow::{Context as _, Result};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The modes of a folder and of a file that may be run.
const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
/// The name that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// An archive in the making.
#[derive(Default)]
pub(crate) struct Initrd {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    entries: u32,
}

impl Initrd {
    /// Adds a folder, and those above it, once. `name` goes from the root, without a slash in front.
    pub(crate) fn folder(&mut self, name: &str) -> Result<()> {
        if name.is_empty() || self.folders.contains(name) {
            return Ok(());
        }
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above)?;
        }
        self.folders.insert(name.to_owned());
        self.entry(name, FOLDER, &[])
    }

    /// Adds a copy of a file of the host, and the folders above it.
    pub(crate) fn file(&mut self, name: &str, from: &Path) -> Result<()> {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above)?;
        }
        let content = fs::read(from).with_context(|| format!("{} cannot be read", from.display()))?;
        self.entry(name, FILE, &content)
    }

    /// Adds a file of this text, and the folders above it.
    pub(crate) fn text(&mut self, name: &str, text: &str) -> Result<()> {
        if let Some((above, _)) = name.rsplit_once('/') {
            self.folder(above)?;
        }
        self.entry(name, FILE, text.as_bytes())
    }

    /// Adds the files, not the folders, that stand in a folder of the host.
    pub(crate) fn files(&mut self, name: &str, from: &Path) -> Result<()> {
        for entry in fs::read_dir(from).with_context(|| format!("{} cannot be read", from.display()))? {
            let path = entry?.path();
            if let Some(file) = path.file_name().filter(|_| path.is_file()) {
                self.file(&format!("{name}/{}", file.to_string_lossy()), &path)?;
            }
        }
        Ok(())
    }

    /// Ends the archive and writes it.
    pub(crate) fn write(mut self, to: PathBuf) -> Result<Written> {
        self.entry(TRAILER, 0, &[])?;
        fs::write(&to, &self.bytes).with_context(|| format!("{} cannot be written", to.display()))?;
        Ok(Written(to))
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        let size = u32::try_from(content.len()).with_context(|| format!("{name} is too large for cpio"))?;
        let name_size = u32::try_from(name.len() + 1).context("a name is too long for cpio")?;
        self.entries += 1;
        // Magic, inode, mode, owner, group, links, time, size, two times a device, length of the name, no check.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(name.bytes().chain([0]));
        self.pad();
        self.bytes.extend(content);
        self.pad();
        Ok(())
    }

    /// Names and contents start at multiples of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// The archive on the host's disk, removed when this is dropped.
pub(crate) struct Written(PathBuf);

impl Written {
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_after_its_folders_and_starts_at_a_multiple_of_four() {
        let mut archive = Initrd::default();
        archive.file("a/b/manifest", &crate::shell::root().join("Cargo.toml")).unwrap();
        archive.folder("a/b").unwrap();
        let names = names(&archive.bytes);
        assert_eq!(names, ["a", "a/b", "a/b/manifest"]);
        let manifest = fs::read(crate::shell::root().join("Cargo.toml")).unwrap();
        let at = archive.bytes.windows(16).position(|window| *window == manifest[..16]).unwrap();
        assert_eq!(at % 4, 0);
    }

    /// Walks the archive as the kernel does.
    fn names(mut bytes: &[u8]) -> Vec<String> {
        let mut names = Vec::new();
        while !bytes.is_empty() {
            assert_eq!(&bytes[..6], b"070701");
            let field = |n: usize| {
                let text = std::str::from_utf8(&bytes[6 + 8 * n..14 + 8 * n]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            let (size, name_size) = (field(6), field(11));
            names.push(String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap());
            bytes = &bytes[(110 + name_size).next_multiple_of(4) + size.next_multiple_of(4)..];
        }
        names
    }
}
