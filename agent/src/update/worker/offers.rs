//! What the cloud offers: asked for when there is news, verified, and handed to the families' machines.

use super::{Held, RETRY, RETRY_SOON, Worker, YIELD};
use crate::update::fits::fits;
use crate::update::slot::locked;
use crate::update::source::Source;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};
use telltale_core::update::{Event, Failure, Interest, Release, Told};
use telltale_seal::WrappedKey;
use telltale_trust::{Offer, Pin, Refusal, Stick, Verified};
use telltale_wire::bundle::{BundleIndex, BundleName, IndexPath};
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;
use telltale_wire::update::{UpdateReason, UpdateStep};

/// The most offers of families that the vehicle does not have that are told of.
const MAX_STRANGERS: usize = 64;

impl Worker {
    /// Asks what the cloud offers, if it says that there is news, or nobody has asked for long.
    pub(super) async fn check_if_due(&mut self) {
        let view = self.ties.uplink.borrow().clone();
        let Some((courier, (server, heard))) = view.courier.zip(view.server_time) else { return };
        let news = view.desired_state != self.acted;
        if !self.listens() || (!news && self.next_check > Instant::now()) {
            return;
        }
        if self.must_yield().await {
            self.quiet_until = Instant::now() + YIELD;
            return;
        }
        let since = (self.ties.clock)().mono.since(heard);
        let now = WallTime(server.0.saturating_add(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)));
        self.quiet_until = Instant::now() + if self.trouble.is_some() { RETRY } else { RETRY_SOON };
        self.next_check =
            Instant::now() + Duration::from_secs(u64::from(self.ties.settings.check_hours) * 3_600);
        let source = Source::Line(courier);
        let floors = self.ties.depot.floors();
        match self.verifier.check(source.director(), source.image(), Some(now), &floors).await {
            Ok(answer) => {
                self.acted = view.desired_state;
                self.quiet_until = Instant::now();
                self.trouble = None;
                log::info!(
                    "the director's version {} offers {} bundles",
                    answer.version,
                    answer.offers.len()
                );
                for (path, refusal) in &answer.refused {
                    self.refused(path, &refusal.to_string());
                }
                self.obey(&source, answer.desired_state, now).await;
                if self.commands.updates_on() {
                    self.offers(&source, answer.offers).await;
                } else {
                    log::info!("updates are switched off by a command: no offer is taken");
                }
            }
            Err(error) => {
                let trouble = explain(&error);
                if self.trouble.as_ref() != Some(&trouble) {
                    log::warn!("what the cloud offers is not taken: {trouble}");
                    self.trouble = Some(trouble);
                }
            }
        }
    }

    /// Takes what a stick brings, by the same verification and the same life cycle as what the server offers.
    ///
    /// Time is the later of what was known before and this machine's clock: who sets that back gains nothing that the
    /// floor does not forbid, and who sets it ahead finds everything ended.
    ///
    /// # Errors
    /// A sentence on what is not taken, and why; what else the stick brings is taken.
    pub(in crate::update) async fn install(&mut self, folder: &Path) -> Result<(), String> {
        if !self.commands.updates_on() {
            return Err("updates are switched off by a command of the cloud".into());
        }
        let source = Source::Stick(Stick::new(folder));
        let (now, floors) = ((self.ties.clock)().wall, self.ties.depot.floors());
        let checked = self.verifier.check(source.director(), source.image(), now, &floors).await;
        let answer = checked.map_err(|error| explain(&error))?;
        let (version, count) = (answer.version, answer.offers.len());
        log::info!("{}: the director's version {version} offers {count} bundles", folder.display());
        let mut refused = Vec::new();
        for (path, refusal) in &answer.refused {
            self.refused(path, &refusal.to_string());
            refused.push(format!("{path} is not taken: {refusal}"));
        }
        self.obey(&source, answer.desired_state, now.unwrap_or(WallTime(0))).await;
        let unwanted = answer.offers.iter().filter_map(|offer| self.unwanted(offer));
        refused.extend(unwanted);
        self.offers(&source, answer.offers).await;
        if refused.is_empty() { Ok(()) } else { Err(refused.join("; ")) }
    }

    /// Why nothing will come of an offer, as far as that is known already.
    fn unwanted(&self, offer: &Offer) -> Option<String> {
        let (path, bundle) = (offer.path(), offer.pin().digest);
        match self.ties.depot.consider(&path.family, path.release, &bundle) {
            Some(Interest::Take | Interest::Continue | Interest::Settled) => None,
            Some(Interest::Refuse(reason)) => Some(format!("{path} is not taken: {reason}")),
            None => Some(format!("{path} is not taken: {}", UpdateReason::NotConfigured)),
        }
    }

    /// Carries out the commands that are new.
    async fn obey(&mut self, source: &Source, pin: Option<Verified<Pin>>, now: WallTime) {
        let Some(pin) = pin else { return };
        match source.desired_state().await {
            Ok(Some(bytes)) => match pin.desired_state(&bytes) {
                Ok(desired) => self.commands.take(&desired, now, &self.ties).await,
                Err(error) => log::warn!("what the cloud wants is not what was signed: {}", explain(&error)),
            },
            Ok(None) => log::warn!("what the cloud wants is signed and not there"),
            Err(error) => log::warn!("what the cloud wants could not be fetched: {error}"),
        }
    }

    /// Takes the newest offer of each family; one that is no longer offered is given up.
    async fn offers(&mut self, source: &Source, offers: Vec<Offer>) {
        let mut newest: BTreeMap<BundleName, Offer> = BTreeMap::new();
        for offer in offers {
            let release = |offer: &Offer| offer.path().release;
            let best = newest.get(&offer.path().family).map_or(0, release);
            if release(&offer) > best {
                newest.insert(offer.path().family.clone(), offer);
            }
        }
        for name in self.ties.depot.families() {
            match newest.remove(&name) {
                Some(offer) => self.offer(&name, source, &offer).await,
                None => self.event(&name, Event::Withdrawn),
            }
        }
        for offer in newest.values() {
            self.stranger(offer);
        }
    }

    /// An offer of a family that this vehicle does not have: told once in a start.
    fn stranger(&mut self, offer: &Offer) {
        let (path, bundle) = (offer.path(), offer.pin().digest);
        if self.strangers.len() >= MAX_STRANGERS || !self.strangers.insert(bundle) {
            return;
        }
        let why = "no model of its family stands under `models`, and `update.families` does not name it";
        let release = Release { number: path.release, version: String::new(), bundle };
        let reason = Some(UpdateReason::NotConfigured);
        let told = Told { release: Some(release), step: UpdateStep::Refused, reason, why: why.to_owned() };
        self.record(&path.family, told);
    }

    async fn offer(&mut self, name: &BundleName, source: &Source, offer: &Offer) {
        let (number, bundle) = (offer.path().release, offer.pin().digest);
        match self.ties.depot.consider(name, number, &bundle) {
            Some(Interest::Take | Interest::Continue) => {}
            Some(Interest::Refuse(_)) => {
                let release = Release { number, version: String::new(), bundle };
                self.event(name, Event::Offered(release, Ok(())));
                return self.ties.depot.settle(name, bundle);
            }
            Some(Interest::Settled) | None => return,
        }
        let (index, bytes) = match self.index(name, source, offer).await {
            Ok(held) => held,
            Err(why) => return self.refused(&offer.path().to_string(), &why),
        };
        let release = Release { number, version: index.version.clone(), bundle };
        if let Err(refusal) = offer.unlock(&index, &self.ties.depot.keyring()) {
            return self.locked(name, release, offer, &refusal);
        }
        let wrapped = index.seal.and(offer.wrapped_key()).map(WrappedKey::to_bytes);
        let most = u64::from(self.ties.settings.max_mib) << 20;
        let fitting = fits(&index, &self.ties.reloader.catalog.lock().await.catalog, most);
        // One of another release ends here.
        self.downloads.remove(name);
        self.held.insert(name.clone(), Held { index, bytes, wrapped, source: source.clone() });
        self.event(name, Event::Offered(release, fitting));
    }

    /// An offer whose seal this vehicle does not open, or that lacks one: told once in a start. It is no affair of the
    /// family's machine: the same bundle may come with another key.
    fn locked(&mut self, name: &BundleName, release: Release, offer: &Offer, refusal: &Refusal) {
        let wrapped = offer.wrapped_key().map(|key| Digest::of(&key.to_bytes()));
        if self.locked.len() >= MAX_STRANGERS || !self.locked.insert((release.bundle, wrapped)) {
            return;
        }
        let Failure { reason, why } = match refusal {
            Refusal::Seal(error) => locked(error),
            other => Failure { reason: UpdateReason::NotVerified, why: other.to_string() },
        };
        let reason = Some(reason);
        self.record(name, Told { release: Some(release), step: UpdateStep::Refused, reason, why });
    }

    /// The index of an offer: the one in the slot, if it is that one, or the server's.
    async fn index(
        &self,
        name: &BundleName,
        source: &Source,
        offer: &Offer,
    ) -> Result<(Verified<BundleIndex>, Vec<u8>), String> {
        let slot = self.ties.depot.candidate(name).map(|(_, slot)| slot);
        let held =
            slot.and_then(|slot| self.ties.depot.with_shelf(|shelf| shelf.index_bytes(name, slot).ok()));
        if let Some((index, bytes)) = held.and_then(|bytes| Some((offer.index(&bytes).ok()?, bytes))) {
            return Ok((index, bytes));
        }
        let fetched = source.index(offer.path()).await.map_err(|error| error.to_string())?;
        let bytes = fetched.ok_or("there is no such index where it is offered")?;
        Ok((offer.index(&bytes).map_err(|error| explain(&error))?, bytes))
    }

    /// Something that was offered and can't be believed, or not be had.
    fn refused(&self, path: &str, why: &str) {
        log::warn!("{path} is not taken: {why}");
        let Ok(IndexPath { family, release, .. }) = path.parse() else { return };
        let release = Release { number: release, version: String::new(), bundle: Digest([0; 32]) };
        let reason = Some(UpdateReason::NotVerified);
        self.record(
            &family,
            Told { release: Some(release), step: UpdateStep::Refused, reason, why: why.to_owned() },
        );
    }
}

/// An error with its causes.
fn explain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
