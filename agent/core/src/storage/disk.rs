//! A simulated disk: a volatile cache over durable bytes, torn and reordered writes, refused operations, a full
//! file system, and a power cut at any operation.

use super::{Storage, StorageError};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// A small, seeded source of numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.roll() % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.below(n) == 0
    }
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Len(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Change::Len(len) => bytes.resize(*len, 0),
            Change::Write(at, data) => {
                bytes.resize(bytes.len().max(at + data.len()), 0);
                bytes[*at..at + data.len()].copy_from_slice(data);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

impl File {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.seen);
        self.unsynced.push(change);
    }
}

#[derive(Clone, Debug)]
enum Entry {
    Link(String, usize),
    Unlink(String),
    Rename(String, String, usize),
}

impl Entry {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Entry::Link(name, file) => drop(names.insert(name.clone(), *file)),
            Entry::Unlink(name) => drop(names.remove(name)),
            Entry::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
        }
    }
}

/// What goes wrong with the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Faults {
    /// The power goes at this operation.
    pub(crate) cut_at: Option<u64>,
    /// One in so many operations fails; 0 for none.
    pub(crate) fail_one_in: u64,
    /// The bytes that fit.
    pub(crate) capacity: Option<u64>,
    /// The negative control: syncs report success and do nothing.
    pub(crate) syncs_are_lies: bool,
}

#[derive(Debug)]
struct Inner {
    dice: Dice,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    unsynced_names: Vec<Entry>,
    faults: Faults,
    operations: u64,
    cut: bool,
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Disk(Rc<RefCell<Inner>>);

impl Disk {
    pub(crate) fn new(seed: u64) -> Self {
        Disk(Rc::new(RefCell::new(Inner {
            dice: Dice(seed),
            files: Vec::new(),
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            unsynced_names: Vec::new(),
            faults: Faults::default(),
            operations: 0,
            cut: false,
        })))
    }

    pub(crate) fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    pub(crate) fn operations(&self) -> u64 {
        self.0.borrow().operations
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.0.borrow().cut
    }

    /// Cuts the power (if it is not cut yet) and starts again with what survived.
    pub(crate) fn power_cycle(&self) {
        let inner = &mut *self.0.borrow_mut();
        for entry in std::mem::take(&mut inner.unsynced_names) {
            if inner.dice.one_in(2) {
                entry.apply(&mut inner.durable_names);
            }
        }
        for file in &mut inner.files {
            for change in std::mem::take(&mut file.unsynced) {
                survive(&mut inner.dice, &change, &mut file.durable);
            }
            file.seen = file.durable.clone();
        }
        inner.names = inner.durable_names.clone();
        inner.operations = 0;
        inner.cut = false;
        inner.faults = Faults::default();
    }

    /// Changes a durable byte, as flash ageing does. The file must exist.
    pub(crate) fn flip(&self, name: &str, at: usize) {
        let inner = &mut *self.0.borrow_mut();
        let file = &mut inner.files[inner.names[name]];
        file.seen[at] ^= 0x41;
        file.durable[at] ^= 0x41;
    }

    pub(crate) fn bytes(&self, name: &str) -> Vec<u8> {
        let inner = self.0.borrow();
        inner.files[inner.names[name]].seen.clone()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.borrow().names.keys().cloned().collect()
    }

    /// Makes everything durable and gives an independent copy.
    pub(crate) fn copy(&self) -> Self {
        let inner = self.0.borrow();
        let mut files = inner.files.clone();
        for file in &mut files {
            file.durable = file.seen.clone();
            file.unsynced.clear();
        }
        Disk(Rc::new(RefCell::new(Inner {
            dice: inner.dice.clone(),
            files,
            names: inner.names.clone(),
            durable_names: inner.names.clone(),
            unsynced_names: Vec::new(),
            faults: Faults::default(),
            operations: 0,
            cut: false,
        })))
    }
}

/// What of an unsynced change the flash happened to have taken: all, nothing, some sectors, or a torn sector.
fn survive(dice: &mut Dice, change: &Change, durable: &mut Vec<u8>) {
    let Change::Write(at, data) = change else {
        if dice.one_in(2) {
            change.apply(durable);
        }
        return;
    };
    match dice.below(4) {
        0 => {}
        1 => change.apply(durable),
        2 => {
            let torn = dice.below(data.len() as u64 + 1) as usize;
            Change::Write(*at, data[..torn].to_vec()).apply(durable);
        }
        _ => {
            let mut from = 0;
            while from < data.len() {
                let to = (((at + from) / 512 + 1) * 512 - at).min(data.len());
                if dice.one_in(2) {
                    Change::Write(at + from, data[from..to].to_vec()).apply(durable);
                }
                from = to;
            }
        }
    }
}

impl Inner {
    /// Counts an operation. `Err` if it fails; `Ok(false)` if the power goes in the middle of it.
    fn begin(&mut self, what: &str) -> Result<(), StorageError> {
        if self.cut {
            return Err(StorageError::Failed(format!("{what}: no power")));
        }
        self.operations += 1;
        if self.faults.cut_at.is_some_and(|at| self.operations >= at) {
            self.cut = true;
            return Err(StorageError::Failed(format!("{what}: power cut")));
        }
        if self.dice.one_in(self.faults.fail_one_in) {
            return Err(StorageError::Failed(format!("{what}: input/output error")));
        }
        Ok(())
    }

    fn file(&mut self, name: &str) -> Result<&mut File, StorageError> {
        let missing = || StorageError::Failed(format!("{name}: no such file"));
        let file = *self.names.get(name).ok_or_else(missing)?;
        self.files.get_mut(file).ok_or_else(missing)
    }

    fn link(&mut self, entry: Entry) {
        entry.apply(&mut self.names);
        self.unsynced_names.push(entry);
    }
}

impl Storage for Disk {
    fn list(&mut self) -> Result<Vec<String>, StorageError> {
        Ok(self.names())
    }

    fn create(&mut self, name: &str, len: u64) -> Result<(), StorageError> {
        let inner = &mut *self.0.borrow_mut();
        assert!(!inner.names.contains_key(name), "{name} exists");
        let outcome = inner.begin(name);
        let used: u64 = inner.names.values().map(|file| inner.files[*file].seen.len() as u64).sum();
        if outcome.is_ok() && inner.faults.capacity.is_some_and(|capacity| used + len > capacity) {
            return Err(StorageError::NoSpace(name.to_owned()));
        }
        // A failed or cut creation may have left the file, as the kernel may.
        if outcome.is_ok() || inner.cut {
            let mut file = File::default();
            file.change(Change::Len(len as usize));
            inner.files.push(file);
            let index = inner.files.len() - 1;
            inner.link(Entry::Link(name.to_owned(), index));
        }
        outcome
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, StorageError> {
        let inner = &mut *self.0.borrow_mut();
        if inner.cut {
            return Err(StorageError::Failed(format!("{name}: no power")));
        }
        let bytes = &inner.file(name)?.seen;
        let from = (offset as usize).min(bytes.len());
        Ok(bytes[from..(from + len).min(bytes.len())].to_vec())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        let inner = &mut *self.0.borrow_mut();
        let outcome = inner.begin(name);
        let written =
            if outcome.is_ok() { bytes.len() } else { inner.dice.below(bytes.len() as u64 + 1) as usize };
        inner.file(name)?.change(Change::Write(offset as usize, bytes[..written].to_vec()));
        outcome
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), StorageError> {
        let inner = &mut *self.0.borrow_mut();
        inner.begin(name)?;
        inner.file(name)?.change(Change::Len(len as usize));
        Ok(())
    }

    fn sync_data(&mut self, name: &str) -> Result<(), StorageError> {
        let inner = &mut *self.0.borrow_mut();
        let outcome = inner.begin(name);
        if inner.cut {
            return outcome;
        }
        if inner.faults.syncs_are_lies {
            return Ok(());
        }
        let mut dice = inner.dice.clone();
        let file = inner.file(name)?;
        for change in std::mem::take(&mut file.unsynced) {
            // After a failed sync the pages count as clean: some are on the flash, the others will never be.
            if outcome.is_ok() {
                change.apply(&mut file.durable);
            } else {
                survive(&mut dice, &change, &mut file.durable);
            }
        }
        inner.dice = dice;
        outcome
    }

    fn sync_dir(&mut self) -> Result<(), StorageError> {
        let inner = &mut *self.0.borrow_mut();
        inner.begin("directory")?;
        if inner.faults.syncs_are_lies {
            return Ok(());
        }
        for entry in std::mem::take(&mut inner.unsynced_names) {
            entry.apply(&mut inner.durable_names);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), StorageError> {
        let inner = &mut *self.0.borrow_mut();
        inner.begin(name)?;
        inner.link(Entry::Unlink(name.to_owned()));
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), StorageError> {
        let inner = &mut *self.0.borrow_mut();
        inner.begin(from)?;
        let missing = || StorageError::Failed(format!("{from}: no such file"));
        let file = *inner.names.get(from).ok_or_else(missing)?;
        inner.link(Entry::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }
}
