//! One repository, refreshed and verified by the TUF client workflow (specification 1.0, section 5).

use crate::error::Distrust;
use crate::limits::Limits;
use crate::provider;
use crate::store::Store;
use crate::transport::{FetchError, Transport};
use serde_json::Value;
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Error, Metadata, MetadataStore as _, Repository, Snapshot, TargetFile};
use sigstore_tuf::{TrustedMetadataSet, Updater, UpdaterConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use telltale_wire::digest::Digest;
use telltale_wire::time::WallTime;

/// A repository whose metadata was fetched and believed.
pub struct Refreshed {
    updater: Updater,
    guard: Guard,
    now: jiff::Timestamp,
}

/// A file that a repository's metadata names.
#[derive(Clone, PartialEq, Debug)]
pub struct Target {
    /// Its length in bytes.
    pub length: u64,
    /// By algorithm, in hexadecimal.
    pub hashes: BTreeMap<String, String>,
    /// What else the repository says of it.
    pub custom: Option<Value>,
}

impl Target {
    /// Its SHA-256, if that stands there.
    #[must_use]
    pub fn sha256(&self) -> Option<Digest> {
        let text = self.hashes.get("sha256")?;
        let mut digest = [0; 32];
        hex::decode_to_slice(text, &mut digest).ok()?;
        Some(Digest(digest))
    }
}

impl From<&TargetFile> for Target {
    fn from(file: &TargetFile) -> Self {
        Self { length: file.length, hashes: file.hashes.clone(), custom: file.custom.clone() }
    }
}

impl Refreshed {
    /// Fetches what is new, verifies it from `root` on, and keeps it in `folder`.
    ///
    /// `vehicle` is the one that all metadata but the root must be signed for; none for a repository of all vehicles.
    ///
    /// # Errors
    /// [`Distrust`]. What was verified before the fault is kept: later checks do not go behind it.
    pub async fn new(
        root: &[u8],
        folder: &Path,
        transport: Arc<dyn Transport>,
        vehicle: Option<&str>,
        now: WallTime,
        limits: &Limits,
    ) -> Result<Self, Distrust> {
        provider::install();
        let store = Store::new(folder);
        let guard = Guard(Arc::new(Guarded {
            transport,
            store: store.clone(),
            vehicle: vehicle.map(str::to_owned),
            limits: *limits,
            missing: Mutex::default(),
            reuse: AtomicBool::new(true),
            reused: AtomicBool::new(false),
        }));
        let distrust = |error| guard.distrust(error);
        let now = jiff::Timestamp::from_microsecond(now.as_unix_micros()).map_err(|_| Distrust::NoTime)?;
        let updater = Updater::new(guard.clone(), root).map_err(distrust)?;
        let mut updater = updater.with_config(config(limits)).with_store(store.clone());
        let before = store.load("snapshot.json").ok().flatten();
        store.hold();
        let outcome = guard.0.on_time(updater.refresh(now)).await;
        let forward = goes_forward(before.as_deref(), updater.trusted());
        store.release(forward.is_ok());
        outcome.map_err(distrust)?;
        forward?;
        let refreshed = Self { updater, guard, now };
        refreshed.stored()?;
        Ok(refreshed)
    }

    /// What the repository's top-level targets role names.
    ///
    /// # Errors
    /// [`Distrust::Delegates`] if it leaves paths to other roles.
    pub fn targets(&self) -> Result<BTreeMap<String, Target>, Distrust> {
        let Some(role) = self.updater.trusted().targets_role("targets") else {
            return Err(Distrust::Missing { file: "targets.json".into() });
        };
        if role.delegations.is_some() {
            return Err(Distrust::Delegates);
        }
        Ok(role.targets.iter().map(|(path, file)| (path.clone(), Target::from(file))).collect())
    }

    /// The version of the repository's top-level targets role.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.updater.trusted().targets_role("targets").map_or(0, |role| role.version)
    }

    /// What the repository says of this path, by whichever role it delegates the path to; `None` if it has no such file.
    ///
    /// # Errors
    /// [`Distrust`] of a delegated role.
    pub async fn target(&mut self, path: &str) -> Result<Option<Target>, Distrust> {
        let mut found = self.find(path).await;
        // A delegated role that was kept may have been signed anew under the same version: then it is fetched.
        if found.is_err() && self.guard.0.reused.load(Ordering::Relaxed) {
            self.guard.0.reuse.store(false, Ordering::Relaxed);
            found = self.find(path).await;
        }
        let found = found.map_err(|error| self.guard.distrust(error))?;
        self.stored()?;
        Ok(found.as_ref().map(Target::from))
    }

    async fn find(&mut self, path: &str) -> Result<Option<TargetFile>, Error> {
        self.guard.0.on_time(self.updater.get_target_info(path, self.now)).await
    }

    /// Whether files carry their version or digest in their name.
    #[must_use]
    pub fn consistent(&self) -> bool {
        self.updater.trusted().root().consistent_snapshot
    }

    fn stored(&self) -> Result<(), Distrust> {
        self.guard.0.store.take_failure().map_or(Ok(()), |why| Err(Distrust::Store(why)))
    }
}

/// Whether a root is signed as it demands itself: what a root must be before it is pinned.
///
/// # Errors
/// [`Distrust`].
pub fn check_root(root: &[u8]) -> Result<(), Distrust> {
    provider::install();
    let checked = TrustedMetadataSet::from_root(root);
    checked.map(|_| ()).map_err(|error| Distrust::of(error, None, 0))
}

/// Whether the snapshot that is believed now takes no role back behind the one that was kept before.
///
/// The TUF client looks itself, but only while the kept snapshot is the one that the kept timestamp names. After a
/// refusal it is not: the newer timestamp was kept, the snapshot refused. Without this, whoever is refused tries again.
/// A root that replaced the snapshot's keys ends what the old ones signed for (specification 1.0, 5.3.11).
fn goes_forward(before: Option<&[u8]>, trusted: &TrustedMetadataSet) -> Result<(), Distrust> {
    let Some(before) = before.and_then(|bytes| Metadata::<Snapshot>::from_slice(bytes).ok()) else {
        return Ok(());
    };
    let (root, Some(now)) = (trusted.root(), trusted.snapshot()) else { return Ok(()) };
    let signed = |who| before.verify_threshold(&root.keys, who, "snapshot").is_ok();
    if !root.role("snapshot").is_some_and(signed) {
        return Ok(());
    }
    for (name, pin) in &before.signed().meta {
        match now.meta.get(name).map(|pin| pin.version) {
            None => return Err(Distrust::Mixed { why: format!("the snapshot leaves {name} out") }),
            Some(offered) if offered < pin.version => {
                let role = format!("{name} (via snapshot)");
                return Err(Distrust::Rollback { role, trusted: pin.version, offered });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn config(limits: &Limits) -> UpdaterConfig {
    let mut config = UpdaterConfig::default();
    config.root_max_length = limits.root as u64;
    config.timestamp_max_length = limits.timestamp as u64;
    config.snapshot_max_length = limits.snapshot as u64;
    config.targets_max_length = limits.targets as u64;
    config.max_root_rotations = limits.root_steps;
    config.max_delegations = limits.delegations;
    // Files that metadata names are never fetched through this client.
    config.target_max_length = 0;
    config
}

/// Stands between the TUF client and the transport: bounds bytes and time, and lets nothing through that is signed for
/// another vehicle.
struct Guarded {
    transport: Arc<dyn Transport>,
    store: Store,
    vehicle: Option<String>,
    limits: Limits,
    /// The file that was asked for last, if it was not there.
    missing: Mutex<Option<String>>,
    reuse: AtomicBool,
    reused: AtomicBool,
}

#[derive(Clone)]
struct Guard(Arc<Guarded>);

impl Guard {
    fn distrust(&self, error: Error) -> Distrust {
        let missing = self.0.missing.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Distrust::of(error, missing, self.0.limits.root_steps)
    }
}

impl Guarded {
    /// Ends work of the client that takes too long as a whole.
    async fn on_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let most = self.limits.check_time;
        let slow = || {
            let error = FetchError::TooSlow { seconds: most.as_secs() };
            Error::transport_with_source("the metadata", error)
        };
        tokio::time::timeout(most, work).await.unwrap_or_else(|_| Err(slow()))
    }

    async fn fetch(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, FetchError> {
        if let Some(bytes) = self.held(name) {
            self.reused.store(true, Ordering::Relaxed);
            return Ok(Some(bytes));
        }
        let most = self.limits.file_time;
        let fetched = tokio::time::timeout(most, self.transport.fetch(name, limit)).await;
        let bytes = fetched.unwrap_or(Err(FetchError::TooSlow { seconds: most.as_secs() }))?;
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) =
            bytes.is_none().then(|| name.to_owned());
        let Some(bytes) = bytes else { return Ok(None) };
        if bytes.len() > limit {
            return Err(FetchError::TooLong { limit });
        }
        self.for_this_vehicle(name, &bytes)?;
        match signed(&bytes) {
            Some(signed) if !keys_are_distinct(&signed) => Err(FetchError::SameKey),
            _ => Ok(Some(bytes)),
        }
    }

    /// A delegated role of this version, if it was kept. It is verified as if it had been fetched.
    fn held(&self, name: &str) -> Option<Vec<u8>> {
        let (version, role) = name.strip_suffix(".json")?.split_once('.')?;
        let version: u64 = version.parse().ok()?;
        let delegated = !matches!(role, "root" | "timestamp" | "snapshot" | "targets");
        if !delegated || !self.reuse.load(Ordering::Relaxed) {
            return None;
        }
        let bytes = self.store.load(&format!("{role}.json")).ok()??;
        (signed(&bytes)?.get("version")?.as_u64()? == version).then_some(bytes)
    }

    /// What was signed for another vehicle is stopped here, before its version numbers could become this vehicle's.
    /// The signature is checked afterwards, over the same bytes.
    fn for_this_vehicle(&self, name: &str, bytes: &[u8]) -> Result<(), FetchError> {
        let Some(vehicle) = self.vehicle.as_deref().filter(|_| !name.ends_with(".root.json")) else {
            return Ok(());
        };
        // What does not read at all is left to the client to name.
        let Some(signed) = signed(bytes) else { return Ok(()) };
        match signed.get("vehicle").and_then(Value::as_str) {
            Some(named) if named == vehicle => Ok(()),
            named => Err(FetchError::OtherVehicle(named.map(|named| named.chars().take(64).collect()))),
        }
    }
}

/// Whether each key that a root or a delegation lists stands there under one name: a key under two names would count
/// twice towards a threshold, which the TUF client counts by names.
fn keys_are_distinct(signed: &Value) -> bool {
    let delegated = signed.get("delegations").and_then(|delegations| delegations.get("keys"));
    [signed.get("keys"), delegated].into_iter().flatten().filter_map(Value::as_object).all(|keys| {
        let mut seen = BTreeSet::new();
        keys.values().all(|key| seen.insert(key.get("keyval").map(Value::to_string)))
    })
}

fn signed(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(bytes).ok()?.get_mut("signed").map(Value::take)
}

impl Repository for Guard {
    fn fetch_metadata<'a>(&'a self, name: &'a str, max_length: u64) -> FetchFuture<'a> {
        let limit = usize::try_from(max_length).unwrap_or(usize::MAX);
        Box::pin(async move {
            let fetched = self.0.fetch(name, limit).await;
            fetched.map_err(|error| Error::transport_with_source(name, error))
        })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, _max_length: u64) -> FetchFuture<'a> {
        Box::pin(std::future::ready(Err(Error::transport_with_source(path, FetchError::Name))))
    }
}
