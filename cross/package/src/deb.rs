//! The format (deb(5)): an `ar` archive of a version, a `tar` of what dpkg is told, and a `tar` of the files. Times are
//! those of the sources or zero, owners are root and files come in order, so that the same contents are the same bytes.

use anyhow::{Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;

/// What a package is made of.
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// One line, then a paragraph.
    pub(crate) description: (String, String),
    /// By path, without a slash before it.
    pub(crate) files: BTreeMap<String, File>,
    /// `postinst` and the like.
    pub(crate) scripts: BTreeMap<String, Vec<u8>>,
    /// Files that a person may edit, and that an upgrade leaves alone.
    pub(crate) configuration: BTreeSet<String>,
}

pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) executable: bool,
}

/// The package as bytes; its files have this time, in seconds of Unix.
pub(crate) fn write(package: &Package, epoch: u64) -> Result<Vec<u8>> {
    for path in &package.configuration {
        ensure!(package.files.contains_key(path), "{path} is configuration, but not in the package");
    }
    let mut archive = b"!<arch>\n".to_vec();
    member(&mut archive, "debian-binary", b"2.0\n", epoch);
    member(&mut archive, "control.tar.gz", &control(package, epoch)?, epoch);
    member(&mut archive, "data.tar.gz", &data(package, epoch)?, epoch);
    Ok(archive)
}

/// An entry of an `ar` archive (deb(5)): sixty bytes, the contents, and a newline where their length is odd.
fn member(archive: &mut Vec<u8>, name: &str, bytes: &[u8], epoch: u64) {
    let header = format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", epoch, 0, 0, "100644", bytes.len());
    archive.extend_from_slice(header.as_bytes());
    archive.extend_from_slice(bytes);
    if bytes.len() % 2 == 1 {
        archive.push(b'\n');
    }
}

fn control(package: &Package, epoch: u64) -> Result<Vec<u8>> {
    let installed: usize = package.files.values().map(|file| file.bytes.len()).sum();
    let mut control = String::new();
    for (field, value) in [
        ("Package", package.name.as_str()),
        ("Version", &package.version),
        ("Architecture", &package.architecture),
        ("Maintainer", "Telltale maintainers <maintainers@telltale.invalid>"),
        ("Installed-Size", &installed.div_ceil(1024).to_string()),
        ("Section", "embedded"),
        ("Priority", "optional"),
        ("Description", &package.description.0),
    ] {
        writeln!(control, "{field}: {value}")?;
    }
    writeln!(control, " {}", package.description.1)?;
    let mut tar = Tar::new(epoch);
    tar.file("control", control.as_bytes(), false)?;
    if !package.configuration.is_empty() {
        let list: String = package.configuration.iter().map(|path| format!("/{path}\n")).collect();
        tar.file("conffiles", list.as_bytes(), false)?;
    }
    for (name, script) in &package.scripts {
        tar.file(name, script, true)?;
    }
    tar.finish()
}

fn data(package: &Package, epoch: u64) -> Result<Vec<u8>> {
    let mut tar = Tar::new(epoch);
    let mut folders = BTreeSet::new();
    for path in package.files.keys() {
        folders.extend(path.match_indices('/').map(|(at, _)| &path[..=at]));
    }
    for folder in folders {
        tar.folder(folder)?;
    }
    for (path, file) in &package.files {
        tar.file(path, &file.bytes, file.executable)?;
    }
    tar.finish()
}

/// A `tar`, all of root's and of one time.
pub(crate) struct Tar {
    builder: tar::Builder<Vec<u8>>,
    compressed: bool,
    epoch: u64,
}

impl Tar {
    fn new(epoch: u64) -> Tar {
        Tar { builder: tar::Builder::new(Vec::new()), compressed: true, epoch }
    }

    pub(crate) fn uncompressed(epoch: u64) -> Tar {
        Tar { builder: tar::Builder::new(Vec::new()), compressed: false, epoch }
    }

    fn folder(&mut self, path: &str) -> Result<()> {
        self.entry(path, &[], 0o755, tar::EntryType::Directory)
    }

    pub(crate) fn file(&mut self, path: &str, bytes: &[u8], executable: bool) -> Result<()> {
        self.entry(path, bytes, if executable { 0o755 } else { 0o644 }, tar::EntryType::Regular)
    }

    fn entry(&mut self, path: &str, bytes: &[u8], mode: u32, kind: tar::EntryType) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(bytes.len() as u64);
        header.set_mtime(self.epoch);
        header.set_uid(0);
        header.set_gid(0);
        header.set_username("root")?;
        header.set_groupname("root")?;
        Ok(self.builder.append_data(&mut header, path, bytes)?)
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        let bytes = self.builder.into_inner()?;
        if !self.compressed {
            return Ok(bytes);
        }
        let mut compressed = GzEncoder::new(Vec::new(), Compression::best());
        compressed.write_all(&bytes)?;
        Ok(compressed.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package() -> Package {
        let file = |text: &str, executable| File { bytes: text.into(), executable };
        Package {
            name: "x".into(),
            version: "1".into(),
            architecture: "all".into(),
            description: ("A".into(), "B.".into()),
            files: [("usr/bin/x".into(), file("#!", true)), ("etc/x.toml".into(), file("odd", false))].into(),
            scripts: [("postinst".into(), b"#!/bin/sh\n".to_vec())].into(),
            configuration: ["etc/x.toml".into()].into(),
        }
    }

    #[test]
    fn the_same_contents_are_the_same_bytes() {
        assert_eq!(write(&package(), 7).unwrap(), write(&package(), 7).unwrap());
        assert_ne!(write(&package(), 7).unwrap(), write(&package(), 8).unwrap());
    }

    #[test]
    fn the_archive_has_its_three_members_where_ar_wants_them() {
        let bytes = write(&package(), 0).unwrap();
        let (mut at, mut names) = (8, Vec::new());
        while at < bytes.len() {
            let header = std::str::from_utf8(&bytes[at..at + 60]).unwrap();
            assert!(header.ends_with("`\n"), "{header:?}");
            names.push(header[..16].trim().to_owned());
            let len: usize = header[48..58].trim().parse().unwrap();
            at += 60 + len + len % 2;
        }
        assert_eq!(names, ["debian-binary", "control.tar.gz", "data.tar.gz"]);
        assert_eq!(at, bytes.len());
    }

    #[test]
    fn configuration_that_is_not_in_the_package_is_refused() {
        let mut package = package();
        package.configuration.insert("etc/y.toml".into());
        assert!(write(&package, 0).is_err());
    }
}
