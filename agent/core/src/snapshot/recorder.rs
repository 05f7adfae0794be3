//! From a trigger to the records of a snapshot: waits for the time after it, holds the rate, cuts the parts.

use super::pack::Packer;
use super::ring::{Position, Ring};
use super::{MAX_SIDE, Selection, SnapshotConfig};
use crate::clock::ClockAnchor;
use crate::clock::stamp;
use crate::frame::CanFrame;
use std::collections::VecDeque;
use std::time::Duration;
use telltale_wire::record::{LossRecord, LossStage, Record};
use telltale_wire::snapshot::{self, SnapshotCause, SnapshotPart};
use telltale_wire::time::{MonoTime, Stamp};

/// Slots of the ring in one part. A part whose frames no model can predict takes 50 kB: within a record's bounds.
const PART_SLOTS: Position = 3_072;
/// The time between two parts. A part takes under a millisecond to pack, and frames are taken in between.
const PART_PACE: Duration = Duration::from_millis(10);
/// What a rate limit counts within.
const RATE_PERIOD: Duration = Duration::from_secs(3_600);
/// Suppressed snapshots are told of once in this time.
const LOSS_PERIOD: Duration = Duration::from_secs(60);
/// No time at all.
const NEVER: MonoTime = MonoTime(u64::MAX);

/// What somebody asks of a snapshot; the settings stand for what is left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SnapshotRequest {
    /// How much time before now, at most [`MAX_SIDE`].
    pub before: Option<Duration>,
    /// How much after, at most [`MAX_SIDE`].
    pub after: Option<Duration>,
    /// Which signals, as [`Packer::select`] has it; empty for those of the settings.
    pub signals: Vec<String>,
}

/// What became of a trigger.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Triggered {
    /// A snapshot of this number begins.
    Begun(u32),
    /// It falls into the snapshot of this number, which is under way and was made longer.
    Merged(u32),
    /// There were too many within the hour: none is taken, and a loss is recorded.
    Suppressed,
    /// Snapshots are turned off.
    Off,
    /// No signal of the catalog fits this pattern: none is taken.
    UnknownSignal(String),
}

/// A snapshot whose time is not over.
struct Pending {
    number: u32,
    at: MonoTime,
    cause: SnapshotCause,
    merged: u16,
    before: Duration,
    until: MonoTime,
    selection: Selection,
}

/// A snapshot whose parts are being told.
struct Cutting {
    snapshot: Pending,
    missing: Duration,
    from: Position,
    end: Position,
    /// The next frame to pack.
    next: Position,
    part: u16,
    parts: u16,
    due: MonoTime,
}

/// Keeps frames, takes triggers, gives records.
pub struct Recorder {
    ring: Ring,
    packer: Packer,
    config: SnapshotConfig,
    selection: Selection,
    taken: u32,
    pending: Option<Pending>,
    cutting: Option<Cutting>,
    /// When the snapshots of the last hour began.
    begun: VecDeque<MonoTime>,
    suppressed: u64,
    suppressed_since: MonoTime,
    is_off: bool,
    /// The next time at which [`Recorder::advance`] has something to do: told rarely, asked once a frame.
    due: MonoTime,
}

impl Recorder {
    /// A recorder with these settings.
    ///
    /// # Errors
    /// The pattern of the settings that no signal of the catalog fits.
    pub fn new(packer: Packer, config: SnapshotConfig) -> Result<Recorder, String> {
        let selection = packer.select(&config.signals).map_err(str::to_owned)?;
        Ok(Recorder {
            ring: Ring::new(config.memory),
            packer,
            selection,
            taken: 0,
            pending: None,
            cutting: None,
            begun: VecDeque::with_capacity(usize::from(config.per_hour)),
            suppressed: 0,
            suppressed_since: NEVER,
            is_off: false,
            due: NEVER,
            config,
        })
    }

    /// Keeps a frame of which a catalog signal was decoded.
    #[inline]
    pub fn keep(&mut self, frame: &CanFrame) {
        self.ring.keep(frame);
    }

    /// Whether [`Recorder::advance`] has something to do at `now`.
    #[inline]
    #[must_use]
    pub const fn is_due(&self, now: MonoTime) -> bool {
        now.0 >= self.due.0
    }

    /// When [`Recorder::advance`] next has something to do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<MonoTime> {
        (self.due != NEVER).then_some(self.due)
    }

    /// Takes a trigger at `at`.
    pub fn trigger(&mut self, at: MonoTime, cause: SnapshotCause, request: &SnapshotRequest) -> Triggered {
        if self.is_off || !self.ring.is_on() {
            return Triggered::Off;
        }
        let selection = match self.packer.select(&request.signals) {
            Ok(_) if request.signals.is_empty() => self.selection.clone(),
            Ok(selection) => selection,
            Err(pattern) => return Triggered::UnknownSignal(pattern.to_owned()),
        };
        let before = request.before.unwrap_or(self.config.before).min(MAX_SIDE);
        let until = at.plus(request.after.unwrap_or(self.config.after).min(MAX_SIDE));
        if let Some(pending) = &mut self.pending {
            pending.merged = pending.merged.saturating_add(1);
            pending.until = until.max(pending.until).min(pending.at.plus(MAX_SIDE));
            pending.selection.add_all(&selection);
            let number = pending.number;
            self.set_due();
            return Triggered::Merged(number);
        }
        while self.begun.front().is_some_and(|begun| at.since(*begun) >= RATE_PERIOD) {
            self.begun.pop_front();
        }
        if self.begun.len() >= usize::from(self.config.per_hour) {
            self.suppressed += 1;
            self.suppressed_since = self.suppressed_since.min(at);
            self.set_due();
            return Triggered::Suppressed;
        }
        self.begun.push_back(at);
        self.taken += 1;
        let number = self.taken;
        self.pending = Some(Pending { number, at, cause, merged: 0, before, until, selection });
        self.set_due();
        Triggered::Begun(number)
    }

    /// Does what is due at `now`: at most one part of a snapshot.
    pub fn advance(&mut self, now: MonoTime, anchor: Option<ClockAnchor>, records: &mut VecDeque<Record>) {
        if self.suppressed > 0 && now >= self.suppressed_since.plus(LOSS_PERIOD) {
            self.tell_suppressed(anchor, records);
        }
        if self.cutting.is_none() && self.pending.as_ref().is_some_and(|pending| pending.until <= now) {
            self.cut(now);
        }
        if self.cutting.as_ref().is_some_and(|cutting| cutting.due <= now) {
            self.tell_part(now, anchor, records);
        }
        self.set_due();
    }

    /// The end of the input: what is under way is told with what there is.
    pub fn finish(&mut self, now: MonoTime, anchor: Option<ClockAnchor>, records: &mut VecDeque<Record>) {
        while self.cutting.is_some() || self.pending.is_some() {
            if self.cutting.is_none() {
                self.cut(now);
            }
            self.tell_part(now, anchor, records);
        }
        if self.suppressed > 0 {
            self.tell_suppressed(anchor, records);
        }
        self.set_due();
    }

    /// Goes on where another one ends, whose snapshots have been told: the numbers and the rate, and the frames if they
    /// are of the same catalog and the ring is of the same size.
    pub fn inherit(&mut self, before: &mut Recorder, same_catalog: bool) {
        self.taken = before.taken;
        std::mem::swap(&mut self.begun, &mut before.begun);
        if same_catalog && self.config.memory == before.config.memory {
            std::mem::swap(&mut self.ring, &mut before.ring);
        }
    }

    /// Takes no trigger from now on, or takes them again. The ring goes on, and so does what is under way.
    pub const fn set_off(&mut self, is_off: bool) {
        self.is_off = is_off;
    }

    fn set_due(&mut self) {
        let pending = self.pending.as_ref().filter(|_| self.cutting.is_none()).map(|pending| pending.until);
        let cutting = self.cutting.as_ref().map(|cutting| cutting.due);
        let loss = (self.suppressed > 0).then(|| self.suppressed_since.plus(LOSS_PERIOD));
        self.due = [pending, cutting, loss].into_iter().flatten().min().unwrap_or(NEVER);
    }

    /// The time after the trigger is over: marks what belongs to it. Nothing is copied. The oldest frames are packed
    /// first, so that the ring, which goes on, does not overtake.
    fn cut(&mut self, now: MonoTime) {
        let Some(mut snapshot) = self.pending.take() else { return };
        // The end of the input may come sooner.
        snapshot.until = snapshot.until.min(now);
        let start = MonoTime(snapshot.at.0.saturating_sub(snapshot.before.as_micros() as u64));
        let from = self.ring.first_from(start);
        // What lies before the ring's oldest frame is missing only if something was there and has been overwritten.
        let oldest = self.ring.oldest().filter(|_| self.ring.has_let_go());
        let missing = oldest.map_or(Duration::ZERO, |oldest| oldest.since(start));
        let end = self.ring.head();
        let parts = (end - from).div_ceil(PART_SLOTS).clamp(1, u64::from(u16::MAX));
        self.cutting = Some(Cutting {
            snapshot,
            missing,
            from,
            end,
            next: from,
            part: 0,
            parts: parts as u16,
            due: now,
        });
    }

    fn tell_part(&mut self, now: MonoTime, anchor: Option<ClockAnchor>, records: &mut VecDeque<Record>) {
        let Some(cutting) = &mut self.cutting else { return };
        let end = (cutting.from + (u64::from(cutting.part) + 1) * PART_SLOTS).min(cutting.end);
        let mut frames = Vec::new();
        while cutting.next < end
            && let Some((frame, next)) = self.ring.get(cutting.next)
            && next <= cutting.end
        {
            frames.push(frame);
            cutting.next = next;
        }
        let snapshot = &cutting.snapshot;
        let mut block = self.packer.block(frames, &snapshot.selection);
        let samples: usize = block.messages.iter().map(|message| message.samples.len()).sum();
        let part = |block| SnapshotPart {
            number: snapshot.number,
            part: cutting.part,
            parts: cutting.parts,
            at: stamp(snapshot.at, anchor),
            cause: snapshot.cause.clone(),
            merged: snapshot.merged,
            before_ms: millis(snapshot.before),
            after_ms: millis(snapshot.until.since(snapshot.at)),
            missing_ms: millis(cutting.missing),
            samples: samples as u32,
            block,
        };
        records.push_back(match snapshot::encode(&mut block).map(part).map(Record::Snapshot) {
            Ok(record) if record.to_raw().is_ok() => record,
            Ok(_) => untold(stamp(now, anchor), snapshot.number, "its samples do not fit a record"),
            Err(why) => untold(stamp(now, anchor), snapshot.number, &why.to_string()),
        });
        cutting.part += 1;
        cutting.due = now.plus(PART_PACE);
        if cutting.part >= cutting.parts {
            self.cutting = None;
        }
    }

    fn tell_suppressed(&mut self, anchor: Option<ClockAnchor>, records: &mut VecDeque<Record>) {
        records.push_back(Record::Loss(LossRecord {
            at: stamp(self.suppressed_since, anchor),
            stage: LossStage::Snapshot,
            count: std::mem::take(&mut self.suppressed),
            range: None,
            why: format!("more than {} snapshots within an hour", self.config.per_hour),
        }));
        self.suppressed_since = NEVER;
    }
}

/// The account of a part that no record can hold.
fn untold(at: Stamp, number: u32, why: &str) -> Record {
    let why = format!("a part of snapshot {number}: {why}");
    Record::Loss(LossRecord { at, stage: LossStage::Snapshot, count: 1, range: None, why })
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
