//! Follows every bus: its state, its errors, what is odd on it, and what is missing.
//!
//! A change of state is told as it happens, unless there are too many; the statistics of each bus follow once a
//! period. Records go to the end of the caller's queue; nothing is allocated but by them.

use super::account::Account;
use super::announce::Announcement;
use super::error_frame::ErrorReport;
use super::link::LinkNews;
use super::messages::Messages;
use crate::catalog::Catalog;
use crate::clock::{ClockAnchor, stamp};
use crate::dbc::{Decoder, MessageRef};
use crate::frame::{BusId, CanFrame, FrameKind};
use crate::pipeline::BusView;
use std::collections::VecDeque;
use std::time::Duration;
use telltale_wire::bus::{BusChange, BusRecord, BusReport, BusStatistics, LastError};
use telltale_wire::record::Record;
use telltale_wire::time::MonoTime;

/// Nothing is due.
const NEVER: MonoTime = MonoTime(u64::MAX);

/// What every frame of a bus touches.
#[derive(Clone, Copy)]
struct Heard {
    /// Data and remote frames.
    frames: u64,
    /// When the latest came.
    latest: MonoTime,
    /// From when on a frame is worth more than to be counted: at once if it tells the state of the bus, else when
    /// something is due.
    attention: MonoTime,
}

/// The accounts of all buses.
pub struct Monitor {
    accounts: Vec<Account>,
    /// What every frame touches, by bus.
    heard: Vec<Heard>,
    messages: Messages,
    period: Duration,
    anchor: Option<ClockAnchor>,
    /// When listening began, and when the stretch under way did.
    began: Option<MonoTime>,
    from: MonoTime,
    /// When the latest news about an interface came.
    latest_news: MonoTime,
    statistics_due: MonoTime,
    /// The earliest of all that is due; [`NEVER`] if nothing is.
    due: MonoTime,
}

impl Monitor {
    /// Accounts for the buses of a catalog. Statistics are told once a `period`.
    #[must_use]
    pub fn new(catalog: &Catalog, decoder: &Decoder, period: Duration) -> Monitor {
        let account = |bus: &crate::catalog::Bus| Account::new(bus.name.clone(), bus.interface.clone());
        Monitor {
            accounts: catalog.buses.iter().map(account).collect(),
            heard: vec![
                Heard { frames: 0, latest: MonoTime(0), attention: MonoTime(0) };
                catalog.buses.len()
            ],
            messages: Messages::new(catalog, decoder),
            period,
            anchor: None,
            began: None,
            from: MonoTime(0),
            latest_news: MonoTime(0),
            statistics_due: NEVER,
            due: MonoTime(0),
        }
    }

    /// Tells how the clock of frames relates to the wall clock.
    pub fn set_anchor(&mut self, anchor: Option<ClockAnchor>) {
        self.anchor = anchor;
    }

    /// Turns time to `now`, as of a frame or of news about an interface.
    fn begin(&mut self, now: MonoTime, out: &mut VecDeque<Record>) {
        if self.began.is_none() {
            self.began = Some(now);
            self.from = now;
            self.statistics_due = now.plus(self.period);
            self.schedule();
        }
        self.handle_timeout(now, out);
    }

    /// Turns time to `now`. Before the first frame it does nothing.
    pub fn handle_timeout(&mut self, now: MonoTime, out: &mut VecDeque<Record>) {
        if self.began.is_none() || now < self.due {
            return;
        }
        for bus in 0..self.accounts.len() {
            if let Some(announcement) = self.accounts[bus].catch_up(now) {
                let why = "it changed too often to tell each time".into();
                out.push_back(self.tell(bus, now, announcement, why));
            }
        }
        if now >= self.statistics_due {
            self.close_stretch(now, out);
        }
        self.schedule();
    }

    /// When [`Monitor::handle_timeout`] next has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<MonoTime> {
        (self.began.is_some() && self.due != NEVER).then_some(self.due)
    }

    /// A frame of a message of the catalog. False if its checksum does not fit: then nothing in it can be believed.
    #[inline]
    pub fn saw_message(
        &mut self,
        message: MessageRef<'_>,
        frame: &CanFrame,
        out: &mut VecDeque<Record>,
    ) -> bool {
        self.saw(frame, out);
        self.messages.saw(message.index(), frame.at);
        message.is_ordinary(frame) || self.inspect(message.index(), frame)
    }

    /// A data frame of whatever identifier. Called by the more particular ones.
    #[inline]
    pub fn saw(&mut self, frame: &CanFrame, out: &mut VecDeque<Record>) {
        if let Some(heard) = self.heard.get_mut(usize::from(frame.bus.0)) {
            heard.frames += 1;
            heard.latest = frame.at;
            if frame.at >= heard.attention {
                self.attend(frame, out);
            }
        }
    }

    #[inline(never)]
    fn attend(&mut self, frame: &CanFrame, out: &mut VecDeque<Record>) {
        self.begin(frame.at, out);
        let bus = usize::from(frame.bus.0);
        if self.accounts[bus].is_awaited() && self.accounts[bus].came_alive(frame.at) {
            self.announce(bus, frame.at, out, || "frames are heard".into());
        }
    }

    #[inline(never)]
    fn inspect(&mut self, message: usize, frame: &CanFrame) -> bool {
        let seen = self.messages.inspect(message, frame);
        if seen.is_long
            && let Some(account) = self.accounts.get_mut(usize::from(frame.bus.0))
        {
            account.long += 1;
        }
        seen.is_whole
    }

    /// A frame that no DBC file of its bus describes.
    pub fn saw_unknown(&mut self, frame: &CanFrame, out: &mut VecDeque<Record>) {
        self.saw(frame, out);
        if let Some(account) = self.accounts.get_mut(usize::from(frame.bus.0)) {
            account.unknown_frames += 1;
            account.unknown.count(frame.id);
        }
    }

    /// A frame of which nothing could be used: a remote frame, an error frame, or one that was seen and turned out to
    /// be too short for its signals.
    pub fn was_malformed(&mut self, frame: &CanFrame, out: &mut VecDeque<Record>) {
        if frame.kind == FrameKind::Remote {
            self.saw(frame, out);
        }
        self.begin(frame.at, out);
        let bus = usize::from(frame.bus.0);
        let Some(account) = self.accounts.get_mut(bus) else { return };
        match (frame.kind, ErrorReport::of(frame)) {
            (FrameKind::Remote, _) => account.remote += 1,
            (_, Some(report)) => {
                if account.error(frame.at, report) {
                    self.announce(bus, frame.at, out, || report.to_string());
                }
            }
            (_, None) => account.short += 1,
        }
    }

    /// What the kernel told of an interface.
    pub fn handle_link(&mut self, news: &LinkNews, out: &mut VecDeque<Record>) {
        self.begin(news.at, out);
        let at = news.at;
        self.latest_news = at;
        let bus = usize::from(news.bus.0);
        let Some(account) = self.accounts.get_mut(bus) else { return };
        if account.link(at, &news.event) {
            let why = news.event.tell(&account.interface);
            self.announce(bus, at, out, || why);
        }
    }

    /// Takes over the accounts of the same buses; with `messages`, also of the same catalog's messages.
    pub fn inherit(&mut self, before: &mut Monitor, messages: bool) {
        std::mem::swap(&mut self.accounts, &mut before.accounts);
        std::mem::swap(&mut self.heard, &mut before.heard);
        if messages {
            std::mem::swap(&mut self.messages, &mut before.messages);
        }
        (self.anchor, self.began, self.from) = (before.anchor, before.began, before.from);
        self.latest_news = before.latest_news;
        if self.began.is_some() {
            self.statistics_due = self.from.plus(self.period);
            self.schedule();
        }
    }

    /// The end of the input, whose latest frame came at `latest`: tells what was counted since the last time.
    pub fn finish(&mut self, latest: MonoTime, out: &mut VecDeque<Record>) {
        let end = latest.max(self.latest_news);
        if self.began.is_some() && end > self.from {
            self.close_stretch(end, out);
        }
    }

    /// How each bus stands, but for how busy it is.
    pub fn buses(&self) -> impl Iterator<Item = BusView> {
        self.accounts.iter().zip(&self.heard).map(|(account, heard)| BusView {
            state: account.state,
            since: account.since,
            frames: heard.frames,
            latest: (heard.frames > 0).then_some(heard.latest),
            busy_nanos: 0,
            error_frames: account.errors.frames,
            counters: account.counters,
            interface: account.counted,
        })
    }

    /// A bus has changed its state.
    fn announce(
        &mut self,
        bus: usize,
        at: MonoTime,
        out: &mut VecDeque<Record>,
        why: impl FnOnce() -> String,
    ) {
        if let Some(announcement) = self.accounts[bus].announce(at) {
            out.push_back(self.tell(bus, at, announcement, why()));
        }
        self.schedule();
    }

    fn tell(&self, bus: usize, at: MonoTime, announcement: Announcement, why: String) -> Record {
        let Announcement { before, suppressed } = announcement;
        let account = &self.accounts[bus];
        log::info!("bus {}: {}, was {before}: {why}", account.name, account.state);
        Record::Bus(BusRecord {
            at: stamp(at, self.anchor),
            bus: account.name.clone(),
            state: account.state,
            since: stamp(account.since, self.anchor),
            report: BusReport::Change(BusChange { before, why, suppressed }),
        })
    }

    fn schedule(&mut self) {
        let held_back = self.accounts.iter().filter_map(Account::announcement_due).min();
        self.due = held_back.map_or(self.statistics_due, |due| due.min(self.statistics_due));
        for (heard, account) in self.heard.iter_mut().zip(&self.accounts) {
            heard.attention = if account.is_awaited() { MonoTime(0) } else { self.due };
        }
    }

    fn close_stretch(&mut self, now: MonoTime, out: &mut VecDeque<Record>) {
        for bus in 0..self.accounts.len() {
            let statistics = self.statistics(BusId(bus as u8), now);
            let account = &self.accounts[bus];
            out.push_back(Record::Bus(BusRecord {
                at: stamp(now, self.anchor),
                bus: account.name.clone(),
                state: account.state,
                since: stamp(account.since, self.anchor),
                report: BusReport::Statistics(statistics),
            }));
        }
        self.from = now;
        self.statistics_due = now.plus(self.period);
    }

    fn statistics(&mut self, bus: BusId, now: MonoTime) -> BusStatistics {
        let (checked, suspicious) = self.messages.suspicious(bus);
        let (missing_total, missing) = self.messages.missing(bus, self.began.unwrap_or(now), now);
        let anchor = self.anchor;
        let account = &mut self.accounts[usize::from(bus.0)];
        let frames = self.heard[usize::from(bus.0)].frames;
        let frames_before = std::mem::replace(&mut account.frames_before, frames);
        let told = |(at, report): &(MonoTime, ErrorReport)| LastError {
            at: stamp(*at, anchor),
            what: report.to_string(),
        };
        BusStatistics {
            stretch_us: now.since(self.from).as_micros() as u64,
            frames_stretch: frames - frames_before,
            frames,
            remote: account.remote,
            short: account.short,
            long: account.long,
            unknown_frames: account.unknown_frames,
            errors: account.errors,
            counters: account.counters,
            last_error: account.last_error.as_ref().map(told),
            restarts_asked: account.restarts_asked,
            link_losses: account.link_losses,
            interface: account.counted,
            checked,
            suspicious,
            unknown: account.unknown.take(),
            missing_total,
            missing,
        }
    }
}
