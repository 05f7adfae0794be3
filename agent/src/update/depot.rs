//! The families, what is kept of them on disk, and which models are to run: shared by the updates' thread and by
//! whoever assembles a pipeline. A lock is held for a few writes at the most.

use super::commands::{Commands, commands_file};
use super::orders::UpdateFacts;
use super::setup;
use super::slot;
use super::switches::Switches;
use crate::config::UpdateSettings;
use crate::files::Directory;
use crate::guard::{Budget, guard};
use crate::load;
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use telltale_core::catalog::Catalog;
use telltale_core::pipeline::{Beside, LoadedModel};
use telltale_core::storage::StorageError;
use telltale_core::update::{
    Arrangement, Before, Declined, Effect, Event, Failure, Family, Interest, Kept, Place, Release, Shelf,
    ShelfError, Slot, State, Step,
};
use telltale_seal::Keyring;
use telltale_trust::Floors;
use telltale_wire::bundle::{BundleIndex, BundleName};
use telltale_wire::digest::{Digest, ShortDigest};
use thiserror::Error;

/// How often a model that can't be loaded is replaced by the next best while a pipeline is assembled: both slots, and
/// the configured model.
pub(crate) const MAX_FALLBACKS: usize = 4;

/// The models for a pipeline.
#[derive(Default)]
pub(crate) struct Cast {
    pub(crate) models: Vec<LoadedModel>,
    pub(crate) beside: Vec<Beside>,
    /// What of each family it consists of.
    pub(crate) running: BTreeMap<BundleName, Arrangement>,
}

/// What is to run of a family, with the models that its slots bring: the one that speaks, and the one beside it.
type Arranged = (Arrangement, Option<LoadedModel>, Option<LoadedModel>);

/// Why an event had no consequence.
#[derive(Debug, Error)]
pub(crate) enum DepotError {
    #[error(
        "no model of the family {0} is configured: name one under `models`, it is the last resort, or the family under \
         `update.families`"
    )]
    NoFamily(String),
    #[error(transparent)]
    Declined(#[from] Declined),
    #[error("the state of an update could not be kept, so nothing was done: {0}")]
    Storage(#[from] StorageError),
}

/// See the module.
pub(crate) struct Depot {
    inner: Mutex<Inner>,
    keyring: Arc<Keyring>,
}

struct Inner {
    shelf: Shelf<Directory>,
    keyring: Arc<Keyring>,
    families: BTreeMap<BundleName, Family>,
    /// What runs, as the pipeline that was assembled last.
    running: BTreeMap<BundleName, Arrangement>,
    /// What is still to be done for a family, by the updates' thread.
    backlog: Vec<(BundleName, Effect)>,
    /// Families without a configured model.
    unconfigured: Vec<BundleName>,
    switches: Switches,
}

impl Depot {
    /// Opens what is kept of the configured models' families, and with the keyring what is sealed. One agent at a time
    /// may.
    ///
    /// # Errors
    /// If the folder can't be used, or a configured model can't be read.
    pub(crate) fn open(
        settings: &UpdateSettings,
        models: &[PathBuf],
        keyring: Keyring,
    ) -> anyhow::Result<Depot> {
        let files = Directory::lock(&settings.dir).context("`update.dir`")?;
        let shelf = Shelf::new(files);
        let switches = Commands::open(commands_file(settings)).switches;
        let (families, running, backlog) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let keyring = Arc::new(keyring);
        let (unconfigured, ring) = (Vec::new(), Arc::clone(&keyring));
        let mut inner = Inner { shelf, keyring: ring, families, running, backlog, unconfigured, switches };
        inner.add(setup::family(), settings, Before::Setting)?;
        for folder in models {
            let (_, manifest) = load::manifest(folder)?;
            let Ok(name) = BundleName::new(&manifest.name) else {
                log::warn!("the model {} can't be updated: its name is none of a bundle's", manifest.name);
                continue;
            };
            if name == setup::family() {
                log::warn!(
                    "the model {name} can't be updated: the family of that name is that of configurations"
                );
                continue;
            }
            inner.add(name, settings, Before::Model)?;
        }
        for name in &settings.families {
            if !inner.families.contains_key(name) {
                inner.add(name.clone(), settings, Before::Release)?;
                inner.unconfigured.push(name.clone());
            }
        }
        Ok(Depot { inner: Mutex::new(inner), keyring })
    }

    /// What sealed bundles are opened with.
    pub(crate) fn keyring(&self) -> Arc<Keyring> {
        Arc::clone(&self.keyring)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The start of the agent: counts an attempt of each candidate that is to run again. One whose attempt can't be
    /// kept does not run.
    pub(crate) fn start(&self) {
        let mut inner = self.lock();
        let names: Vec<BundleName> = inner.families.keys().cloned().collect();
        for name in names {
            let Some(step) = inner.families.get(&name).and_then(Family::start) else { continue };
            if let Err(error) = inner.take(&name, step) {
                log::error!(
                    "the update of {name} waits for the next start: its attempt could not be kept: {error}"
                );
            }
        }
    }

    /// Takes an event: persists what follows from it, and leaves what is to be done in the backlog.
    pub(crate) fn handle(&self, name: &BundleName, event: Event) -> Result<(), DepotError> {
        let mut inner = self.lock();
        let family = inner.families.get(name).ok_or_else(|| DepotError::NoFamily(name.to_string()))?;
        if let Some(step) = family.handle(event)? {
            inner.take(name, step)?;
        }
        Ok(())
    }

    /// What is to be done.
    pub(crate) fn backlog(&self) -> Vec<(BundleName, Effect)> {
        std::mem::take(&mut self.lock().backlog)
    }

    /// Loads the models that are to run: those of the configuration, and in their places what updates brought. A
    /// bundle that can't be loaded gives way to the next best, down to the configured model; where it is only
    /// `rehearsed`, it does not, and is an error.
    ///
    /// # Errors
    /// If a configured model can't be loaded.
    pub(crate) fn cast(
        &self,
        folders: &[PathBuf],
        catalog: &Catalog,
        budget: &Budget,
        rehearsed: bool,
    ) -> anyhow::Result<Cast> {
        let mut cast = Cast::default();
        for model in load::models(folders, catalog)? {
            let mut configured = Some(guard(model, budget, None));
            let name = configured.as_ref().and_then(|model| BundleName::new(&model.manifest.name).ok());
            let speaker = cast.models.len();
            if let Some(name) = name
                && let Some((arrangement, speaks, beside)) =
                    self.arranged(&name, catalog, budget, rehearsed)?
            {
                let is_trial = self.is_on_trial(&name);
                let mut place = |slot: Option<LoadedModel>| slot.or_else(|| configured.take());
                cast.models.extend(place(speaks));
                if arrangement.beside.is_some()
                    && let Some(model) = place(beside)
                {
                    cast.beside.push(Beside { speaker, model: Some(model), is_trial });
                }
                cast.running.insert(name, arrangement);
            } else {
                cast.models.extend(configured);
            }
        }
        for name in self.lock().unconfigured.clone() {
            let Some((arrangement, speaks, beside)) = self.arranged(&name, catalog, budget, rehearsed)?
            else {
                continue;
            };
            let (speaker, is_trial) = (cast.models.len(), self.is_on_trial(&name));
            if let Some(speaks) = speaks {
                cast.models.push(speaks);
                if beside.is_some() || is_trial {
                    cast.beside.push(Beside { speaker, model: beside, is_trial });
                }
            }
            cast.running.insert(name, arrangement);
        }
        Ok(cast)
    }

    /// This is what runs now.
    pub(crate) fn runs(&self, running: BTreeMap<BundleName, Arrangement>) {
        self.lock().running = running;
    }

    /// What of a family is to run.
    pub(super) fn arrangement(&self, name: &BundleName) -> Arrangement {
        let nothing = Arrangement { speaks: Place::Factory, beside: None };
        self.lock().families.get(name).map_or(nothing, Family::arrangement)
    }

    /// What a family's slot holds, or is to hold.
    pub(super) fn in_slot(&self, name: &BundleName, slot: Slot) -> Option<Release> {
        let inner = self.lock();
        let kept = inner.families.get(name)?.kept();
        let open = kept.open().filter(|update| update.slot == slot).map(|update| &update.release);
        open.or(kept.slot(slot)).cloned()
    }

    /// What the cloud has switched off.
    pub(crate) fn switches(&self) -> Switches {
        self.lock().switches.clone()
    }

    /// What it has from now on.
    pub(super) fn set_switches(&self, switches: Switches) {
        self.lock().switches = switches;
    }

    /// The arrangement of a family with the models that its slots bring; `None` for the place of the configured one.
    fn arranged(
        &self,
        name: &BundleName,
        catalog: &Catalog,
        budget: &Budget,
        rehearsed: bool,
    ) -> anyhow::Result<Option<Arranged>> {
        let mut inner = self.lock();
        for _ in 0..MAX_FALLBACKS {
            let Some(arrangement) = inner.families.get(name).map(Family::arrangement) else { break };
            let mut load =
                |place: Place| inner.load(name, place, catalog, budget).map_err(|why| (place, why));
            let beside = arrangement.beside.map_or(Ok(None), &mut load);
            let failed = match (load(arrangement.speaks), beside) {
                (Ok(speaks), Ok(beside)) => return Ok(Some((arrangement, speaks, beside))),
                (Err(failed), _) | (_, Err(failed)) => failed,
            };
            let (place, failure) = failed;
            if rehearsed {
                anyhow::bail!("the model of {name} can't be loaded ({}): {}", failure.reason, failure.why);
            }
            log::error!("the model of {name} can't be loaded ({}): {}", failure.reason, failure.why);
            let family = inner.families.get(name);
            let step =
                family.and_then(|family| family.handle(Event::Unusable(place, failure)).ok().flatten());
            // A state that can't be kept is no reason to run without a model.
            let Some(step) = step else { break };
            if inner.take(name, step).is_err() {
                break;
            }
        }
        Ok(None)
    }

    pub(super) fn is_on_trial(&self, name: &BundleName) -> bool {
        let inner = self.lock();
        let open = inner.families.get(name).and_then(|family| family.kept().open());
        open.is_some_and(|update| update.state == State::Trial)
    }

    /// Whether what runs is what is to run.
    pub(crate) fn is_arranged(&self, name: &BundleName) -> bool {
        let inner = self.lock();
        inner.families.get(name).map(Family::arrangement) == inner.running.get(name).copied()
    }

    /// Loads the bundle in the slot of the update under way, as for a self-test.
    pub(crate) fn candidate(&self, name: &BundleName) -> Option<(Release, Slot)> {
        let inner = self.lock();
        let open = inner.families.get(name)?.kept().open()?;
        Some((open.release.clone(), open.slot))
    }

    /// Something with the shelf, under the lock.
    pub(crate) fn with_shelf<T>(&self, work: impl FnOnce(&mut Shelf<Directory>) -> T) -> T {
        work(&mut self.lock().shelf)
    }

    /// Deletes what no family needs.
    pub(crate) fn sweep(&self) -> Result<usize, StorageError> {
        let inner = &mut *self.lock();
        let kept: Vec<&Kept> = inner.families.values().map(Family::kept).collect();
        inner.shelf.sweep(&kept)
    }

    /// The families.
    pub(crate) fn families(&self) -> Vec<BundleName> {
        self.lock().families.keys().cloned().collect()
    }

    /// What an offer is worth; `None` for a family that has no configured model.
    pub(crate) fn consider(&self, name: &BundleName, number: u32, bundle: &Digest) -> Option<Interest> {
        Some(self.lock().families.get(name)?.consider(number, bundle))
    }

    /// An offer is dealt with, though nothing came of it.
    pub(crate) fn settle(&self, name: &BundleName, bundle: Digest) {
        if let Some(family) = self.lock().families.get_mut(name) {
            family.settle(bundle);
        }
    }

    /// The lowest release of each family that may come.
    pub(crate) fn floors(&self) -> Floors {
        self.lock().families.iter().map(|(name, family)| (name.clone(), family.kept().floor)).collect()
    }

    /// The family whose update under way is this bundle.
    pub(crate) fn family_of(&self, candidate: ShortDigest) -> Option<(BundleName, Release)> {
        self.lock().families.iter().find_map(|(name, family)| {
            let open = family.kept().open().filter(|open| open.release.bundle.short() == candidate)?;
            Some((name.clone(), open.release.clone()))
        })
    }

    /// The release that this digest begins the bundle of, if it is the latest update's.
    pub(crate) fn release_of(&self, name: &BundleName, candidate: ShortDigest) -> Option<Release> {
        let inner = self.lock();
        let update = inner.families.get(name)?.kept().update.as_ref()?;
        (update.release.bundle.short() == candidate).then(|| update.release.clone())
    }

    /// Whether a candidate runs.
    pub(crate) fn watches(&self) -> bool {
        let inner = self.lock();
        inner.families.values().any(|family| {
            let on_trial = family.kept().open().is_some_and(|update| update.state == State::Trial);
            family.arrangement().beside.is_some() || (on_trial && family.is_alone())
        })
    }

    /// What is known of each family, for people. Of the configurations nothing, until there is one.
    pub(crate) fn facts(&self) -> Vec<UpdateFacts> {
        let inner = self.lock();
        let is_told = |family: &&Family| {
            let kept = family.kept();
            kept.family != setup::family() || *kept != Kept::new(setup::family())
        };
        inner.families.values().filter(is_told).map(UpdateFacts::of).collect()
    }
}

impl Inner {
    /// A family with what is kept of it.
    fn add(&mut self, name: BundleName, settings: &UpdateSettings, before: Before) -> anyhow::Result<()> {
        let kept = match self.shelf.kept(&name) {
            Ok(kept) => kept,
            Err(ShelfError::Storage(error)) => return Err(error).context("`update.dir`"),
            Err(error) => {
                log::error!("what was known of updates of {name} is lost, what is configured runs: {error}");
                None
            }
        };
        let kept = kept.unwrap_or_else(|| Kept::new(name.clone()));
        self.families.insert(name, Family::new(kept, settings.policy(before)));
        Ok(())
    }

    /// Persists a step and what follows from it by itself; only then its effects are to be done.
    fn take(&mut self, name: &BundleName, step: Step) -> Result<(), StorageError> {
        let mut next = Some(step);
        while let Some(step) = next {
            self.shelf.keep(&step.kept)?;
            let Some(family) = self.families.get_mut(name) else { return Ok(()) };
            let effects = family.take(step);
            self.backlog.extend(effects.into_iter().map(|effect| (name.clone(), effect)));
            next = family.proceed();
        }
        Ok(())
    }

    /// A model from its place; `None` for the configured one, which is loaded by others.
    fn load(
        &mut self,
        name: &BundleName,
        place: Place,
        catalog: &Catalog,
        budget: &Budget,
    ) -> Result<Option<LoadedModel>, Failure> {
        let Place::Slot(slot) = place else { return Ok(None) };
        let kept = self.families.get(name).map(Family::kept);
        let Some(release) = kept.and_then(|kept| kept.slot(slot)).cloned() else { return Ok(None) };
        let keyring = Arc::clone(&self.keyring);
        let (bundle, model) = slot::load(&mut self.shelf, &keyring, name, slot, &release, catalog)?;
        Ok(Some(guard(model, budget, Some(latency(&bundle.index)))))
    }
}

/// How long a bundle's model may take.
pub(super) fn latency(index: &BundleIndex) -> Duration {
    Duration::from_micros(u64::from(index.budget.latency_us))
}
