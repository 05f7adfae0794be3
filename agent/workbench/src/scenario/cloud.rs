//! The way of records to the cloud in virtual time: the vehicle's own spool and uplink, a line with outages, and a cloud
//! that stores each record once.

use super::file::Link;
use super::memory::Memory;
use std::collections::BTreeMap;
use std::time::Duration;
use telltale_core::spool::{OpenError, Spool, SpoolConfig};
use telltale_core::uplink::{Uplink, UplinkConfig};
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::record::{RawRecord, Record};
use telltale_wire::sync::{Ack, SyncRequest, SyncResponse};
use telltale_wire::time::{MonoTime, Stamp, WallTime};

/// How long the vehicle waits for a connection that does not come, as `telltale run` does.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// From a request to its answer where the scenario does not say.
const ANSWER: Duration = Duration::from_millis(120);
/// After the drive the vehicle may sync for so long.
const TAIL: Duration = Duration::from_secs(1_800);
/// What the cloud takes in a request, in bytes.
const BATCH_LIMIT: u32 = 1 << 20;
/// Time that never comes.
const NEVER: MonoTime = MonoTime(u64::MAX);

/// A vehicle's spool and uplink, and the cloud at the other end.
pub(super) struct Cloud {
    link: Link,
    spool: Spool<Memory>,
    uplink: Uplink,
    critical: u64,
    under_way: Option<(MonoTime, Exchange)>,
    next: MonoTime,
    appended: u64,
    stored: BTreeMap<(BootId, Lane, Seq), (RawRecord, MonoTime)>,
    came_twice: u64,
    broken: Vec<String>,
}

/// What comes of a request, when its time is over.
enum Exchange {
    Answered(SyncResponse),
    Failed,
}

/// What a drive's records came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Delivered {
    pub(super) records: u64,
    pub(super) came_twice: u64,
    pub(super) waiting: u64,
}

impl Cloud {
    pub(super) fn new(link: Link, seed: u64) -> Result<Cloud, OpenError> {
        let start = Stamp { mono: MonoTime(0), wall: None };
        let boot = BootId::new(1, 0);
        let (spool, _) = Spool::open(Memory::default(), SpoolConfig::default(), boot, start)?;
        let vehicle = VehicleId::new("scenario").unwrap_or_else(|_| unreachable!("a plain word is an id"));
        Ok(Cloud {
            link,
            spool,
            uplink: Uplink::new(UplinkConfig::default(), vehicle, seed),
            critical: 0,
            under_way: None,
            next: MonoTime(0),
            appended: 0,
            stored: BTreeMap::new(),
            came_twice: 0,
            broken: Vec::new(),
        })
    }

    /// Takes a record; gives its key at the cloud.
    pub(super) fn append(&mut self, now: Stamp, record: &Record) -> Option<(Lane, Seq)> {
        self.appended += 1;
        let appended = self.spool.append(now, record);
        if let Err(error) = &appended {
            self.broken.push(format!("a record found no place in the spool: {error}"));
        }
        self.next = self.next.min(now.mono);
        appended.ok()
    }

    /// Lets time pass up to `now`.
    #[inline]
    pub(super) fn advance(&mut self, now: MonoTime) {
        while self.next <= now {
            self.turn(self.next);
        }
    }

    /// One moment: what came in, what is to be made durable, what is to be sent.
    fn turn(&mut self, now: MonoTime) {
        let at = Stamp { mono: now, wall: None };
        if self.under_way.as_ref().is_some_and(|(due, _)| *due <= now)
            && let Some((_, exchange)) = self.under_way.take()
        {
            match exchange {
                Exchange::Answered(response) => {
                    let acks = self.uplink.handle_response(now, &response);
                    self.spool.ack(at, &acks);
                }
                Exchange::Failed => self.uplink.handle_failure(now),
            }
        }
        if self.spool.next_sync_deadline().is_some_and(|due| due <= now) {
            self.spool.sync(at);
            let critical = self.spool.durable_through(Lane::Critical).map_or(0, |seq| seq.0);
            if self.spool.stats().waiting_records > 0 {
                self.uplink.handle_records(now, critical > self.critical);
            }
            self.critical = critical;
        }
        if let Some(allowance) = self.uplink.poll_transmit(now) {
            let batches = self.spool.next_batch(at, allowance);
            if let Some(request) = self.uplink.begin(at, batches) {
                self.under_way = Some(self.send(now, &request));
            }
        }
        let due = [
            self.spool.next_sync_deadline(),
            self.uplink.poll_timeout(),
            self.under_way.as_ref().map(|(due, _)| *due),
        ];
        // What is due at once was done: time goes on.
        self.next = due.into_iter().flatten().min().unwrap_or(NEVER).max(MonoTime(now.0 + 1));
    }

    /// A request on the line, and what comes of it when.
    fn send(&mut self, now: MonoTime, request: &SyncRequest) -> (MonoTime, Exchange) {
        let within = |windows: &[[f64; 2]], at: MonoTime| {
            let at_s = at.as_micros() as f64 / 1e6;
            windows.iter().any(|[from, to]| (*from..*to).contains(&at_s))
        };
        if within(&self.link.down_s, now) {
            return (now.plus(CONNECT_TIMEOUT), Exchange::Failed);
        }
        let took = match self.link.answer_ms {
            0 => ANSWER,
            ms => Duration::from_millis(ms.into()),
        };
        let at = now.plus(took / 2);
        let mut acks = Vec::new();
        for batch in &request.batches {
            for (number, raw) in (batch.first_seq.0..).zip(&batch.records) {
                self.store((batch.boot, batch.lane, Seq(number)), raw, at);
            }
            acks.extend(batch.last_seq().map(|through| Ack { boot: batch.boot, lane: batch.lane, through }));
        }
        if within(&self.link.deaf_s, at) {
            return (now.plus(REQUEST_TIMEOUT), Exchange::Failed);
        }
        let response = SyncResponse {
            acks,
            server_time: WallTime(0),
            desired_state: 0,
            retry_after_ms: 0,
            batch_limit: BATCH_LIMIT,
        };
        (now.plus(took), Exchange::Answered(response))
    }

    fn store(&mut self, key: (BootId, Lane, Seq), raw: &RawRecord, at: MonoTime) {
        match self.stored.get(&key) {
            None => {
                self.stored.insert(key, (raw.clone(), at));
            }
            Some((before, _)) if before == raw => self.came_twice += 1,
            Some(_) => self.broken.push(format!("record {} of lane {} came with other bytes", key.2, key.1)),
        }
    }

    /// Lets the vehicle sync what is left after its drive; what waits then, waits for the next.
    pub(super) fn finish(&mut self, end: MonoTime) -> Delivered {
        let (last, at) = (end.plus(TAIL), Stamp { mono: end, wall: None });
        self.spool.flush(at);
        self.uplink.handle_records(end, true);
        self.next = end;
        while self.next <= last && self.spool.stats().waiting_records > 0 {
            self.turn(self.next);
        }
        let waiting = self.spool.stats().waiting_records;
        let (records, lost) = (self.stored.len() as u64, self.spool.stats().lost);
        // What waits may have been stored already, where only its acknowledgement is missing.
        if records + waiting < self.appended || records > self.appended || lost > 0 {
            self.broken.push(format!(
                "{} records were written, {records} are at the cloud, {waiting} wait, {lost} are lost",
                self.appended
            ));
        }
        Delivered { records, came_twice: self.came_twice, waiting }
    }

    /// When a record of this drive was at the cloud.
    pub(super) fn stored_at(&self, (lane, seq): (Lane, Seq)) -> Option<MonoTime> {
        self.stored.get(&(self.spool.boot(), lane, seq)).map(|(_, at)| *at)
    }

    pub(super) fn broken(self) -> Vec<String> {
        self.broken
    }
}
