//! Secret keys in files that their owner alone may read: one line, what it is and its 32 bytes in hexadecimal digits.

use crate::{ContentKey, KeyFileError, SealError, SealingKey};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

const CONTENT: &str = "telltale-content-key";
const SEALING: &str = "telltale-sealing-key";

/// The longest file that is read, in bytes. One has 86.
const MAX_FILE: u64 = 256;

/// A key that lies in a file.
pub trait Secret {
    /// Its line, without the end of it.
    fn line(&self) -> Zeroizing<String>;
}

impl Secret for ContentKey {
    fn line(&self) -> Zeroizing<String> {
        line(CONTENT, self.as_bytes())
    }
}

impl Secret for SealingKey {
    fn line(&self) -> Zeroizing<String> {
        line(SEALING, &self.to_bytes())
    }
}

/// Writes a key into a new file of mode 0600, durably.
///
/// # Errors
/// [`KeyFileError::Io`], also if the file is there: a key is never written over.
pub fn create(path: &Path, key: &impl Secret) -> Result<(), KeyFileError> {
    let written = || {
        let mut text = key.line();
        text.push('\n');
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let kept = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        if kept.is_err() {
            // Half a key is none, and would stand in the way of the next attempt.
            let _ = fs::remove_file(path);
        }
        kept?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    };
    written().map_err(|source| KeyFileError::Io { action: "write", path: path.to_owned(), source })
}

/// The content key in a file.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_content_key(path: &Path) -> Result<ContentKey, KeyFileError> {
    read(path, CONTENT, ContentKey::from_bytes)
}

/// The sealing key in a file.
///
/// # Errors
/// [`KeyFileError`].
pub fn read_sealing_key(path: &Path) -> Result<SealingKey, KeyFileError> {
    read(path, SEALING, SealingKey::from_bytes)
}

fn read<T>(
    path: &Path,
    what: &'static str,
    parse: impl FnOnce(&[u8]) -> Result<T, SealError>,
) -> Result<T, KeyFileError> {
    let text = text(path)?;
    let key = || {
        let digits = text.trim_end().strip_prefix(what)?.strip_prefix(' ')?;
        parse(&Zeroizing::new(hex::decode(digits).ok()?)).ok()
    };
    key().ok_or_else(|| KeyFileError::NoKey { path: path.to_owned(), what })
}

fn text(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let unreadable = |source: io::Error| KeyFileError::Io { action: "read", path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mode = file.metadata().map_err(unreadable)?.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyFileError::Open { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::with_capacity(MAX_FILE as usize));
    file.take(MAX_FILE).read_to_string(&mut text).map_err(unreadable)?;
    Ok(text)
}

fn line(what: &str, bytes: &[u8; 32]) -> Zeroizing<String> {
    let digits = Zeroizing::new(hex::encode(bytes));
    let mut line = String::with_capacity(what.len() + digits.len() + 2);
    line.push_str(what);
    line.push(' ');
    line.push_str(&digits);
    Zeroizing::new(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_comes_back_from_its_file_which_is_its_owner_s_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (content, sealing) = (dir.path().join("content"), dir.path().join("sealing"));
        let (key, pair) = (ContentKey::generate().unwrap(), SealingKey::generate().unwrap());
        create(&content, &key).unwrap();
        create(&sealing, &pair).unwrap();
        assert_eq!(read_content_key(&content).unwrap(), key);
        assert_eq!(read_sealing_key(&sealing).unwrap().public(), pair.public());
        assert_eq!(fs::metadata(&content).unwrap().permissions().mode() & 0o777, 0o600);
        let again = create(&content, &ContentKey::generate().unwrap());
        assert!(matches!(again, Err(KeyFileError::Io { action: "write", .. })), "{again:?}");
        assert_eq!(read_content_key(&content).unwrap(), key, "a key is never written over");
    }

    #[test]
    fn a_file_that_is_open_to_others_or_holds_something_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        create(&path, &SealingKey::generate().unwrap()).unwrap();
        let what = "telltale-content-key";
        let refused = read_content_key(&path);
        assert!(matches!(&refused, Err(KeyFileError::NoKey { what: w, .. }) if *w == what), "{refused:?}");
        for mode in [0o640, 0o604, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read_sealing_key(&path);
            assert!(matches!(refused, Err(KeyFileError::Open { mode: m, .. }) if m == mode), "{refused:?}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(read_sealing_key(&path).is_ok());
        for text in ["", "telltale-sealing-key", "telltale-sealing-key 00", &"x".repeat(10_000)] {
            fs::write(&path, text).unwrap();
            assert!(matches!(read_sealing_key(&path), Err(KeyFileError::NoKey { .. })), "{text:?}");
        }
        let gone = read_sealing_key(&dir.path().join("none"));
        assert!(matches!(gone, Err(KeyFileError::Io { action: "read", .. })), "{gone:?}");
    }
}
