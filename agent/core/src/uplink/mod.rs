//! The uplink's state machine: when to send, how much, and what an answer means. The shell connects and carries
//! bytes; this decides.
//!
//! `waiting -> sending -> waiting`. A wait is either idle, which new records cut short, or held (a backoff, or the
//! server's wish), which nothing cuts short. One request is under way at a time; what is not acknowledged stays in
//! the spool and is sent again, so an exchange may fail at any point. A [`Budget`], if there is one, bounds what each
//! lane may send; critical records always go.

mod budget;
mod pace;
mod window;

#[cfg(test)]
mod tests;

pub use budget::{Budget, BudgetConfig, BudgetState};
pub use pace::UplinkConfig;

use crate::jitter::Dice;
use crate::spool::{Allowance, BatchLimits};
use std::time::Duration;
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::sync::{Ack, Batch, MAX_RECORDS, RefusalCode, SyncRefusal, SyncRequest, SyncResponse};
use telltale_wire::time::{MonoTime, Stamp};

/// The least that a server's batch limit is taken for: one record of ordinary size must go.
const MIN_BYTES: usize = 1024;

/// What a request has besides its records: the envelope and the batches' heads.
const OVERHEAD: usize = 1024;

/// After so many records in a row that the server could not read, the fault is not the records': a mistaken
/// server must not make the vehicle throw its spool away.
const MAX_DISCARDS: u32 = 8;

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
    /// Bytes sent, with whatever the shell counts as its line: TLS, headers and handshakes.
    pub bytes_up: u64,
    /// Bytes received, likewise.
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
    Sending { sent: Vec<Sent>, weights: [u64; 4] },
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
    budget: Option<Budget>,
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
            budget: None,
            desired_state: 0,
            stats: UplinkStats::default(),
        }
    }

    /// Bounds what may be sent from now on.
    #[must_use]
    pub fn with_budget(self, budget: Option<Budget>) -> Self {
        Self { budget, ..self }
    }

    /// The budget, to be stored and shown.
    pub fn budget(&mut self) -> Option<&mut Budget> {
        self.budget.as_mut()
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
    pub fn poll_transmit(&mut self, now: MonoTime) -> Option<Allowance> {
        self.poll_timeout().filter(|due| *due <= now)?;
        let lanes = self.budget.as_mut().map_or([usize::MAX; 4], |budget| budget.allowance(now));
        Some(Allowance { limits: self.limits, lanes })
    }

    /// The request for these batches. `None` if there are none and no news is due: the machine is idle then, until
    /// news is due or the budget lets a lane send again.
    pub fn begin(&mut self, now: Stamp, batches: Vec<Batch>) -> Option<SyncRequest> {
        let opening = self.budget.as_ref().and_then(Budget::next_opening);
        let may_ask = self.budget.as_ref().is_none_or(Budget::is_open);
        if batches.is_empty() && (now.mono < self.next_news || !may_ask) {
            let news = may_ask.then_some(self.next_news);
            let until = news.into_iter().chain(opening).min().unwrap_or(self.next_news);
            self.state = State::Idle { until };
            return None;
        }
        let sent = batches.iter().filter_map(|batch| {
            Some(Sent { boot: batch.boot, lane: batch.lane, first: batch.first_seq, last: batch.last_seq()? })
        });
        let mut weights = [0; 4];
        for batch in &batches {
            weights[batch.lane as usize] +=
                batch.records.iter().map(|raw| raw.body.len() as u64 + 1).sum::<u64>();
        }
        self.state = State::Sending { sent: sent.collect(), weights };
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

    /// Counts what was on the line since the last call. Call it before an exchange's outcome is handled: the lanes
    /// that were under way bear its cost.
    pub fn count_bytes(&mut self, now: MonoTime, up: u64, down: u64) {
        self.stats.bytes_up += up;
        self.stats.bytes_down += down;
        let weights = match self.state {
            State::Sending { weights, .. } => weights,
            State::Idle { .. } | State::Held { .. } => [0; 4],
        };
        if let Some(budget) = &mut self.budget {
            budget.spend(now, up.saturating_add(down), weights);
        }
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

    /// Never shorter than the server's wish.
    fn back_off(&mut self, now: MonoTime, wish: Duration) {
        let wait = self.config.backoff().wait(self.failures, &mut self.dice);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Held { until: now.plus(wait.max(wish)) };
    }

    fn take_sent(&mut self) -> Vec<Sent> {
        match &mut self.state {
            State::Sending { sent, .. } => std::mem::take(sent),
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
