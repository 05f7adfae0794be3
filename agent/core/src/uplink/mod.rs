//! The uplink's state machine: when to send, how much, and what an answer means. The shell connects and carries
//! bytes; this decides.
//!
//! `waiting -> sending -> waiting`. A wait is either idle, which new records cut short, or held (a backoff, or the
//! server's wish), which nothing cuts short. One request is under way at a time; what is not acknowledged stays in
//! the spool and is sent again, so an exchange may fail at any point.

use crate::jitter::{Backoff, Dice};
use crate::spool::BatchLimits;
use std::time::Duration;
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::sync::{Ack, Batch, MAX_RECORDS, RefusalCode, SyncRefusal, SyncRequest, SyncResponse};
use telltale_wire::time::{MonoTime, Stamp};

/// The least that a server's batch limit is taken for: one record of ordinary size must go.
const MIN_BYTES: usize = 1024;

/// What a request has besides its records: the envelope and the batches' heads.
const OVERHEAD: usize = 1024;

/// The shortest backoff: full jitter may roll a zero.
const MIN_BACKOFF: Duration = Duration::from_millis(50);

/// After so many records in a row that the server could not read, the fault is not the records': a mistaken
/// server must not make the vehicle throw its spool away.
const MAX_DISCARDS: u32 = 8;

/// How the uplink paces itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UplinkConfig {
    /// The most of one request; the server may ask for less.
    pub limits: BatchLimits,
    /// How long ordinary records wait for company. Batching decides the cost on the line: 50 records a request
    /// take 207 bytes of IP traffic each, single ones 542.
    pub linger: Duration,
    /// How often to ask for news when there is nothing to send.
    pub idle_poll: Duration,
    /// The first backoff is drawn from zero to this; the range doubles with each failure.
    pub backoff_first: Duration,
    /// The range's end.
    pub backoff_max: Duration,
    /// How long to wait after a refusal that only a person can mend.
    pub refused_wait: Duration,
}

impl Default for UplinkConfig {
    /// 500 records or 256 KiB a request, 10 s of linger, news every 15 minutes, backoff from 1 s to 5 minutes.
    fn default() -> Self {
        Self {
            limits: BatchLimits { records: 500, bytes: 256 * 1024 },
            linger: Duration::from_secs(10),
            idle_poll: Duration::from_secs(15 * 60),
            backoff_first: Duration::from_secs(1),
            backoff_max: Duration::from_secs(5 * 60),
            refused_wait: Duration::from_secs(30 * 60),
        }
    }
}

/// What a refusal asks of the shell besides waiting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Nothing: the machine sends again, less or later.
    Again,
    /// This one record will never be taken: give it up in the spool, with this explanation.
    Discard {
        /// The boot that wrote it.
        boot: BootId,
        /// Its lane.
        lane: Lane,
        /// Its number.
        seq: Seq,
        /// For the loss record.
        why: String,
    },
    /// A person has to act; the machine tries again after a long wait.
    NeedsPerson,
}

/// What went over the line since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UplinkStats {
    /// Requests sent.
    pub requests: u64,
    /// Requests without an answer that counts.
    pub failures: u64,
    /// Refusals.
    pub refusals: u64,
    /// Records that an acknowledgement covered.
    pub acknowledged: u64,
    /// Bytes of request bodies.
    pub bytes_up: u64,
    /// Bytes of response bodies.
    pub bytes_down: u64,
}

/// What the machine is at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Phase {
    /// It waits for records, or for the next time to ask for news.
    #[default]
    Idle,
    /// It holds back: after a failure, or because the server asked for it.
    Held,
    /// A request is under way.
    Sending,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum State {
    Idle { until: MonoTime },
    Held { until: MonoTime },
    Sending { sent: Vec<Sent> },
}

/// A batch under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Sent {
    boot: BootId,
    lane: Lane,
    first: Seq,
    last: Seq,
}

/// The machine. It starts out due at once.
#[derive(Clone, Debug)]
pub struct Uplink {
    config: UplinkConfig,
    vehicle: VehicleId,
    state: State,
    limits: BatchLimits,
    next_news: MonoTime,
    failures: u32,
    discards: u32,
    dice: Dice,
    desired_state: u64,
    stats: UplinkStats,
}

impl Uplink {
    /// A machine that is due at once. `seed` decides the jitter: give each vehicle its own, so that a fleet that
    /// lost its server together does not come back together.
    #[must_use]
    pub fn new(config: UplinkConfig, vehicle: VehicleId, seed: u64) -> Self {
        Self {
            config,
            vehicle,
            state: State::Idle { until: MonoTime(0) },
            limits: config.limits,
            next_news: MonoTime(0),
            failures: 0,
            discards: 0,
            dice: Dice::new(seed),
            desired_state: 0,
            stats: UplinkStats::default(),
        }
    }

    /// When the machine wants to send; `None` while a request is under way.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        match self.state {
            State::Idle { until } | State::Held { until } => Some(until),
            State::Sending { .. } => None,
        }
    }

    /// What the machine is at.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self.state {
            State::Idle { .. } => Phase::Idle,
            State::Held { .. } => Phase::Held,
            State::Sending { .. } => Phase::Sending,
        }
    }

    /// How much to fetch from the spool for a request, if one is due. Hand what was fetched to [`Uplink::begin`].
    #[must_use]
    pub fn poll_transmit(&self, now: MonoTime) -> Option<BatchLimits> {
        self.poll_timeout().filter(|due| *due <= now).map(|_| self.limits)
    }

    /// The request for these batches. `None` if there are none and no news is due: the machine is idle then.
    pub fn begin(&mut self, now: Stamp, batches: Vec<Batch>) -> Option<SyncRequest> {
        if batches.is_empty() && now.mono < self.next_news {
            self.state = State::Idle { until: self.next_news };
            return None;
        }
        let sent = batches.iter().filter_map(|batch| {
            Some(Sent { boot: batch.boot, lane: batch.lane, first: batch.first_seq, last: batch.last_seq()? })
        });
        self.state = State::Sending { sent: sent.collect() };
        self.stats.requests += 1;
        Some(SyncRequest { vehicle: self.vehicle.clone(), sent: now, batches })
    }

    /// There are new durable records; urgent ones go at once, others wait for company.
    pub fn handle_records(&mut self, now: MonoTime, urgent: bool) {
        if let State::Idle { until } = &mut self.state {
            let wanted = if urgent { now } else { now.plus(self.config.linger) };
            *until = (*until).min(wanted);
        }
    }

    /// Counts the bodies of an exchange.
    pub fn count_bytes(&mut self, up: usize, down: usize) {
        self.stats.bytes_up += up as u64;
        self.stats.bytes_down += down as u64;
    }

    /// The server's answer; gives the acknowledgements that may be taken. One of what was not sent is refused, and
    /// one that goes beyond (the server has more from a lost exchange, or is mistaken) counts up to what was sent.
    pub fn handle_response(&mut self, now: MonoTime, response: &SyncResponse) -> Vec<Ack> {
        let sent = self.take_sent();
        let acks: Vec<Ack> = response.acks.iter().filter_map(|ack| within(&sent, ack)).collect();
        let progress = sent.iter().map(|batch| acknowledged(batch, &acks)).sum::<u64>();
        self.stats.acknowledged += progress;
        self.desired_state = response.desired_state;
        let wish = millis(response.retry_after_ms);
        if progress == 0 && !sent.is_empty() {
            log::warn!(
                "the server answered without acknowledging anything new; the same is sent again later"
            );
            self.back_off(now, wish);
            return acks;
        }
        (self.failures, self.discards) = (0, 0);
        self.next_news = now.plus(self.config.idle_poll);
        self.widen(response.batch_limit as usize);
        self.state =
            if wish.is_zero() { State::Idle { until: now } } else { State::Held { until: now.plus(wish) } };
        acks
    }

    /// The server's refusal.
    pub fn handle_refusal(&mut self, now: MonoTime, refusal: &SyncRefusal) -> Advice {
        let sent = self.take_sent();
        self.stats.refusals += 1;
        let wish = millis(refusal.retry_after_ms);
        match refusal.code {
            RefusalCode::Malformed => self.isolate(now, &sent, refusal),
            RefusalCode::TooLarge => {
                self.limits.bytes = (self.limits.bytes / 2).max(MIN_BYTES);
                self.isolate(now, &sent, refusal)
            }
            RefusalCode::Unavailable => {
                log::warn!("the server cannot store now: {}", refusal.message);
                self.back_off(now, wish);
                Advice::Again
            }
            RefusalCode::NotThisVehicle | RefusalCode::NewerProtocol => {
                log::error!(
                    "the server refuses this vehicle ({}): {}; check that the certificate is enrolled for `{}` and that \
                     the server is as new as the agent",
                    code_name(refusal.code),
                    refusal.message,
                    self.vehicle
                );
                self.state = State::Held { until: now.plus(self.config.refused_wait.max(wish)) };
                Advice::NeedsPerson
            }
        }
    }

    /// No answer, or none that can be read.
    pub fn handle_failure(&mut self, now: MonoTime) {
        self.take_sent();
        self.stats.failures += 1;
        self.back_off(now, Duration::ZERO);
    }

    /// The version of what the cloud wants of this vehicle, as of the last answer.
    #[must_use]
    pub fn desired_state(&self) -> u64 {
        self.desired_state
    }

    /// What went over the line.
    #[must_use]
    pub fn stats(&self) -> UplinkStats {
        self.stats
    }

    /// Sends half as much, down to the one record that the server cannot take.
    fn isolate(&mut self, now: MonoTime, sent: &[Sent], refusal: &SyncRefusal) -> Advice {
        let count: u64 = sent.iter().map(|batch| batch.last.0 - batch.first.0 + 1).sum();
        match sent.first() {
            Some(only) if count == 1 && self.discards < MAX_DISCARDS => {
                self.discards += 1;
                self.state = State::Idle { until: now };
                let why =
                    format!("the server will not take it ({}): {}", code_name(refusal.code), refusal.message);
                log::error!(
                    "record {} of lane {} and boot {} is given up: {why}",
                    only.first,
                    only.lane,
                    only.boot
                );
                Advice::Discard { boot: only.boot, lane: only.lane, seq: only.first, why }
            }
            Some(_) if count > 1 => {
                self.limits.records = (count / 2).min(MAX_RECORDS as u64) as usize;
                log::warn!("the server refused {count} records: {}; sending half as many", refusal.message);
                self.state = State::Idle { until: now };
                Advice::Again
            }
            _ => {
                log::error!(
                    "the server refuses whatever is sent: {}; is it a Telltale server?",
                    refusal.message
                );
                self.state = State::Held { until: now.plus(self.config.refused_wait) };
                Advice::NeedsPerson
            }
        }
    }

    /// After a success the limits grow back, within what the server takes.
    fn widen(&mut self, batch_limit: usize) {
        let full = self.config.limits;
        self.limits.records = self.limits.records.saturating_mul(2).min(full.records).min(MAX_RECORDS);
        self.limits.bytes = self
            .limits
            .bytes
            .saturating_mul(2)
            .min(full.bytes)
            .min(batch_limit.saturating_sub(OVERHEAD).max(MIN_BYTES));
    }

    /// Exponential backoff with full jitter, never shorter than the server's wish.
    fn back_off(&mut self, now: MonoTime, wish: Duration) {
        let (first, max) = (self.config.backoff_first, self.config.backoff_max);
        let wait = Backoff { first, max, min: MIN_BACKOFF }.wait(self.failures, &mut self.dice);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Held { until: now.plus(wait.max(wish)) };
    }

    fn take_sent(&mut self) -> Vec<Sent> {
        match &mut self.state {
            State::Sending { sent } => std::mem::take(sent),
            State::Idle { .. } | State::Held { .. } => Vec::new(),
        }
    }
}

fn within(sent: &[Sent], ack: &Ack) -> Option<Ack> {
    let of_lane = sent.iter().filter(|batch| (batch.boot, batch.lane) == (ack.boot, ack.lane));
    let Some(last) = of_lane.map(|batch| batch.last).max() else {
        log::warn!(
            "the server acknowledged lane {} of boot {}, of which nothing was sent",
            ack.lane,
            ack.boot
        );
        return None;
    };
    Some(Ack { through: ack.through.min(last), ..*ack })
}

fn acknowledged(batch: &Sent, acks: &[Ack]) -> u64 {
    let through =
        acks.iter().filter(|ack| (ack.boot, ack.lane) == (batch.boot, batch.lane)).map(|ack| ack.through.0);
    let through = through.max().unwrap_or(0).min(batch.last.0);
    (through + 1).saturating_sub(batch.first.0)
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

fn code_name(code: RefusalCode) -> &'static str {
    match code {
        RefusalCode::Malformed => "malformed",
        RefusalCode::NotThisVehicle => "not this vehicle",
        RefusalCode::TooLarge => "too large",
        RefusalCode::Unavailable => "unavailable",
        RefusalCode::NewerProtocol => "newer protocol",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use telltale_wire::record::RawRecord;
    use telltale_wire::time::WallTime;

    fn uplink() -> Uplink {
        Uplink::new(UplinkConfig::default(), VehicleId::new("bench-01").unwrap(), 7)
    }

    fn at(seconds: u64) -> MonoTime {
        MonoTime(seconds * 1_000_000)
    }

    fn stamp(mono: MonoTime) -> Stamp {
        Stamp { mono, wall: None }
    }

    fn batch(first: u64, count: usize) -> Batch {
        let records = vec![RawRecord { kind: 1, body: Vec::new() }; count];
        Batch { boot: BootId(1), lane: Lane::Status, first_seq: Seq(first), records }
    }

    fn answer(through: u64) -> SyncResponse {
        SyncResponse {
            acks: vec![Ack { boot: BootId(1), lane: Lane::Status, through: Seq(through) }],
            server_time: WallTime(0),
            desired_state: 3,
            retry_after_ms: 0,
            batch_limit: 100_000,
        }
    }

    fn refusal(code: RefusalCode) -> SyncRefusal {
        SyncRefusal { code, message: "no".into(), retry_after_ms: 0 }
    }

    #[test]
    fn it_sends_until_nothing_is_left_and_then_asks_for_news_now_and_then() {
        let mut up = uplink();
        assert!(up.poll_transmit(at(0)).is_some());
        up.begin(stamp(at(0)), vec![batch(1, 5)]).unwrap();
        assert_eq!((up.poll_timeout(), up.poll_transmit(at(99))), (None, None));
        assert_eq!(up.handle_response(at(1), &answer(5)).len(), 1);
        assert_eq!(up.poll_transmit(at(1)).unwrap().bytes, 100_000 - OVERHEAD, "the server's limit holds");
        assert!(up.begin(stamp(at(1)), Vec::new()).is_none());
        assert_eq!(up.poll_timeout(), Some(at(1 + 15 * 60)));
        assert!(up.begin(stamp(at(1 + 15 * 60)), Vec::new()).is_some());
        assert_eq!((up.desired_state(), up.stats().acknowledged), (3, 5));
    }

    #[test]
    fn records_cut_an_idle_wait_short_and_a_backoff_not() {
        let mut up = uplink();
        up.begin(stamp(at(0)), Vec::new()).unwrap();
        up.handle_response(at(0), &SyncResponse { acks: Vec::new(), ..answer(0) });
        up.begin(stamp(at(0)), Vec::new());
        up.handle_records(at(1), false);
        assert_eq!(up.poll_timeout(), Some(at(11)));
        up.handle_records(at(2), true);
        assert_eq!(up.poll_timeout(), Some(at(2)));
        up.begin(stamp(at(2)), vec![batch(1, 1)]);
        up.handle_response(at(2), &SyncResponse { retry_after_ms: 60_000, ..answer(1) });
        up.handle_records(at(3), true);
        assert_eq!(up.poll_timeout(), Some(at(62)), "the server's wish holds");
    }

    #[test]
    fn backoff_grows_with_full_jitter_and_ends_with_a_success() {
        let mut up = uplink();
        let mut waits = Vec::new();
        for _ in 0..200 {
            up.begin(stamp(at(0)), vec![batch(1, 1)]).unwrap();
            up.handle_failure(at(0));
            waits.push(up.poll_timeout().unwrap().since(at(0)));
        }
        assert!(waits[0] <= Duration::from_secs(1));
        let late = &waits[20..];
        assert!(late.iter().all(|wait| *wait >= MIN_BACKOFF && *wait <= Duration::from_secs(300)));
        let mean = late.iter().map(Duration::as_secs_f64).sum::<f64>() / late.len() as f64;
        assert!((120.0..180.0).contains(&mean), "full jitter has its mean at half the range, not at {mean}");
        up.begin(stamp(at(0)), vec![batch(1, 1)]);
        up.handle_response(at(0), &answer(1));
        up.begin(stamp(at(0)), vec![batch(2, 1)]);
        up.handle_failure(at(0));
        assert!(up.poll_timeout().unwrap() <= at(1));
    }

    #[test]
    fn an_acknowledgement_counts_for_what_was_sent_alone() {
        let mut up = uplink();
        up.begin(stamp(at(0)), vec![batch(1, 5)]);
        assert_eq!(up.handle_response(at(0), &answer(u64::MAX))[0].through, Seq(5));
        up.begin(stamp(at(0)), vec![batch(6, 5)]);
        let other = Ack { boot: BootId(2), lane: Lane::Status, through: Seq(9) };
        assert!(up.handle_response(at(0), &SyncResponse { acks: vec![other], ..answer(0) }).is_empty());
        assert!(up.poll_timeout().unwrap() > at(0), "no progress is no success");
        up.begin(stamp(at(9)), vec![batch(6, 5)]);
        assert_eq!(up.handle_response(at(9), &answer(5)).len(), 1);
        assert!(up.poll_timeout().unwrap() > at(9), "an old acknowledgement is no progress");
    }

    #[test]
    fn a_record_that_the_server_cannot_read_is_found_by_halving() {
        // Record 11 of 1..=37 is the bad one; the machine must send all others and give up that one alone.
        let (mut up, mut wanted, mut given_up) = (uplink(), (1..=37).collect::<Vec<u64>>(), Vec::new());
        for _ in 0..60 {
            let limit = up.poll_transmit(at(0)).unwrap().records;
            let Some(first) = wanted.first().copied() else { break };
            let run =
                wanted.iter().enumerate().take_while(|(i, n)| **n == first + *i as u64 && *i < limit).count();
            up.begin(stamp(at(0)), vec![batch(first, run)]);
            let last = first + run as u64 - 1;
            if (first..=last).contains(&11) {
                if let Advice::Discard { seq, .. } =
                    up.handle_refusal(at(0), &refusal(RefusalCode::Malformed))
                {
                    given_up.push(seq.0);
                    wanted.retain(|n| *n != seq.0);
                }
            } else {
                up.handle_response(at(0), &answer(last));
                wanted.retain(|n| *n > last);
            }
        }
        assert_eq!((wanted, given_up), (vec![], vec![11]));
    }

    #[test]
    fn a_server_that_reads_nothing_does_not_empty_the_spool() {
        let mut up = uplink();
        let mut given_up = 0;
        for seq in 1..100 {
            up.begin(stamp(at(0)), vec![batch(seq, 1)]);
            given_up +=
                u32::from(up.handle_refusal(at(0), &refusal(RefusalCode::Malformed)) != Advice::NeedsPerson);
        }
        assert_eq!(given_up, MAX_DISCARDS);
        assert_eq!(up.poll_timeout(), Some(at(30 * 60)));
    }

    #[test]
    fn each_refusal_has_its_wait() {
        let mut up = uplink();
        up.begin(stamp(at(0)), vec![batch(1, 8)]);
        up.handle_refusal(at(0), &refusal(RefusalCode::TooLarge));
        let limits = up.poll_transmit(at(0)).unwrap();
        assert_eq!((limits.records, limits.bytes), (4, 128 * 1024));
        up.begin(stamp(at(0)), vec![batch(1, 4)]);
        let busy = SyncRefusal { retry_after_ms: 90_000, ..refusal(RefusalCode::Unavailable) };
        assert_eq!(up.handle_refusal(at(0), &busy), Advice::Again);
        assert!(up.poll_timeout().unwrap() >= at(90));
        up.begin(stamp(at(90)), vec![batch(1, 4)]);
        assert_eq!(up.handle_refusal(at(90), &refusal(RefusalCode::NotThisVehicle)), Advice::NeedsPerson);
        assert_eq!(up.poll_timeout(), Some(at(90 + 30 * 60)));
    }
}
