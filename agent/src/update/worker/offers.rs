//! What the cloud offers: asked for when there is news, verified, and handed to the families' machines.

use super::{Held, RETRY, Worker, YIELD};
use crate::update::fits::fits;
use crate::update::repositories;
use crate::uplink::Courier;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use telltale_core::update::{Event, Interest, Release, Told};
use telltale_trust::{Offer, Pin, Verified};
use telltale_wire::bundle::{BundleIndex, BundleName, IndexPath};
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;
use telltale_wire::update::{UpdateReason, UpdateStep};

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
        self.quiet_until = Instant::now() + RETRY;
        self.next_check =
            Instant::now() + Duration::from_secs(u64::from(self.ties.settings.check_hours) * 3_600);
        let (director, image) = (repositories::director(&courier), repositories::image(&courier));
        let floors = self.ties.depot.floors();
        match self.verifier.check(director, image, Some(now), &floors).await {
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
                self.obey(&courier, answer.desired_state, now).await;
                if self.commands.updates_on {
                    self.offers(&courier, answer.offers).await;
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

    /// Carries out the commands that are new.
    async fn obey(&mut self, courier: &Courier, pin: Option<Verified<Pin>>, now: WallTime) {
        let Some(pin) = pin else { return };
        match repositories::desired_state(courier).await {
            Ok(Some(bytes)) => match pin.desired_state(&bytes) {
                Ok(desired) => self.commands.take(&desired, now, &self.ties).await,
                Err(error) => log::warn!("what the cloud wants is not what was signed: {}", explain(&error)),
            },
            Ok(None) => log::warn!("what the cloud wants is signed and not there"),
            Err(error) => log::warn!("what the cloud wants could not be fetched: {error}"),
        }
    }

    /// Takes the newest offer of each family; one that is no longer offered is given up.
    async fn offers(&mut self, courier: &Courier, offers: Vec<Offer>) {
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
                Some(offer) => self.offer(&name, courier, &offer).await,
                None => self.event(&name, Event::Withdrawn),
            }
        }
        for offer in newest.values() {
            log::warn!(
                "{} is offered, but no model of its family is configured: it is not taken",
                offer.path()
            );
        }
    }

    async fn offer(&mut self, name: &BundleName, courier: &Courier, offer: &Offer) {
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
        let (index, bytes) = match self.index(name, courier, offer).await {
            Ok(held) => held,
            Err(why) => return self.refused(&offer.path().to_string(), &why),
        };
        let release = Release { number, version: index.version.clone(), bundle };
        let most = u64::from(self.ties.settings.max_mib) << 20;
        let fitting = fits(&index, &*self.ties.reloader.catalog.lock().await, most);
        // One of another release ends here.
        self.downloads.remove(name);
        self.held.insert(name.clone(), Held { index, bytes });
        self.event(name, Event::Offered(release, fitting));
    }

    /// The index of an offer: the one in the slot, if it is that one, or the server's.
    async fn index(
        &self,
        name: &BundleName,
        courier: &Courier,
        offer: &Offer,
    ) -> Result<(Verified<BundleIndex>, Vec<u8>), String> {
        let slot = self.ties.depot.candidate(name).map(|(_, slot)| slot);
        let held =
            slot.and_then(|slot| self.ties.depot.with_shelf(|shelf| shelf.index_bytes(name, slot).ok()));
        if let Some((index, bytes)) = held.and_then(|bytes| Some((offer.index(&bytes).ok()?, bytes))) {
            return Ok((index, bytes));
        }
        let fetched = repositories::index(courier, offer.path()).await.map_err(|error| error.to_string())?;
        let bytes = fetched.ok_or("the server has no such index")?;
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
