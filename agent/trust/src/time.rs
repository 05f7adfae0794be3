//! What time it is at least. A vehicle's own clock may stand anywhere, and who can set it back could bring ended
//! metadata to life again; so time is the later of what was known before and what the server says now.

use crate::store::write_durably;
use crate::transport::read;
use std::io;
use std::path::PathBuf;
use telltale_wire::time::WallTime;

/// The file holds a number.
const MAX_FILE: usize = 32;

/// The latest time under which metadata was believed, kept in a file.
#[derive(Debug)]
pub(crate) struct TimeFloor {
    path: PathBuf,
    floor: Option<WallTime>,
}

impl TimeFloor {
    /// Reads it. A file that is not there, or holds no number, is no floor.
    pub(crate) fn open(path: PathBuf) -> Self {
        let bytes = read(&path, MAX_FILE).ok().flatten();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let floor = text.and_then(|text| text.trim().parse().ok()).map(WallTime);
        Self { path, floor }
    }

    /// The later of the floor and what the server says.
    pub(crate) fn now(&self, server: Option<WallTime>) -> Option<WallTime> {
        self.floor.max(server)
    }

    /// Raises the floor. To be done once metadata was believed under this time: a time that a server makes up lets
    /// that fail, and so leaves nothing behind.
    pub(crate) fn raise(&mut self, to: WallTime) -> io::Result<()> {
        if self.floor >= Some(to) {
            return Ok(());
        }
        write_durably(&self.path, format!("{}\n", to.as_unix_micros()).as_bytes())?;
        self.floor = Some(to);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_only_rises_and_outlives_the_process() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("time");
        let mut floor = TimeFloor::open(path.clone());
        assert_eq!(floor.now(None), None);
        floor.raise(WallTime(100)).unwrap();
        floor.raise(WallTime(50)).unwrap();
        let floor = TimeFloor::open(path.clone());
        assert_eq!(floor.now(Some(WallTime(7))), Some(WallTime(100)));
        assert_eq!(floor.now(Some(WallTime(700))), Some(WallTime(700)));
        std::fs::write(&path, "soon").unwrap();
        assert_eq!(TimeFloor::open(path).now(None), None);
    }
}
