//! A check of both repositories: what this vehicle shall have, as far as they agree.

use crate::error::{Distrust, Refusal, Side, TrustError};
use crate::limits::{Limits, MAX_TARGETS};
use crate::refresh::{Refreshed, Target, check_root};
use crate::time::TimeFloor;
use crate::transport::{Folder, Transport};
use crate::verified::{self, Offer, Pin, Verified};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use telltale_wire::bundle::{BundleName, HardwareId};
use telltale_wire::desired;
use telltale_wire::ids::VehicleId;
use telltale_wire::time::WallTime;

/// The roots that this vehicle was given, `root.json` of each repository. All trust begins with them.
#[derive(Clone, Debug)]
pub struct Roots {
    /// The director's.
    pub director: Vec<u8>,
    /// The image repository's.
    pub image: Vec<u8>,
}

/// Who this vehicle is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// As in its certificate.
    pub vehicle: VehicleId,
    /// Its hardware.
    pub hardware: HardwareId,
}

/// By family, the lowest release that this vehicle takes: the one that it committed. Families that are missing begin
/// at the first.
pub type Floors = BTreeMap<BundleName, u32>;

/// Verifies what this vehicle shall have.
#[derive(Debug)]
pub struct Verifier {
    folder: PathBuf,
    roots: Roots,
    identity: Identity,
    time: TimeFloor,
    limits: Limits,
}

/// What a check came to.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The version of the director's targets: what the sync answer calls the desired state.
    pub version: u64,
    /// Bundles that this vehicle shall have, by path. Those that it has already stand here too.
    pub offers: Vec<Offer>,
    /// The file of configuration and commands, if there is one.
    pub desired_state: Option<Verified<Pin>>,
    /// What was named and not taken, each path with its reason.
    pub refused: Vec<(String, Refusal)>,
}

impl Verifier {
    /// A verifier that keeps what it believes in `folder`.
    ///
    /// # Errors
    /// [`TrustError`] if a root is not signed as it demands itself.
    pub fn open(folder: &Path, roots: Roots, identity: Identity) -> Result<Self, TrustError> {
        check_root(&roots.director).map_err(|reason| reason.by(Side::Director))?;
        check_root(&roots.image).map_err(|reason| reason.by(Side::Image))?;
        let time = TimeFloor::open(folder.join("time"));
        Ok(Self { folder: folder.to_owned(), roots, identity, time, limits: Limits::VEHICLE })
    }

    /// Fetches and verifies what is new in both repositories, and compares them.
    ///
    /// `server_time` is what the server said when it was asked last, over an authenticated connection; without it time
    /// is what was known before. A director that does not agree with the image repository in one target does not spoil
    /// the others: see [`Answer::refused`].
    ///
    /// # Errors
    /// [`TrustError`] if a repository as a whole is not to be believed. What was believed before still is.
    pub async fn check(
        &mut self,
        director: Arc<dyn Transport>,
        image: Arc<dyn Transport>,
        server_time: Option<WallTime>,
        floors: &Floors,
    ) -> Result<Answer, TrustError> {
        let now = self.time.now(server_time).ok_or_else(|| Distrust::NoTime.by(Side::Director))?;
        let (version, targets) = self.director(director, now).await.map_err(|e| e.by(Side::Director))?;
        let mut image = self.image(image, now).await.map_err(|reason| reason.by(Side::Image))?;
        let raised = self.time.raise(now);
        raised.map_err(|error| Distrust::Store(error.to_string()).by(Side::Director))?;

        let mut answer = Answer { version, offers: Vec::new(), desired_state: None, refused: Vec::new() };
        for (path, target) in targets {
            let taken = if path == desired::TARGET {
                verified::desired_state(&target).map(|pin| answer.desired_state = Some(pin))
            } else {
                self.compare(&path, &target, &mut image, floors).await.map(|offer| answer.offers.push(offer))
            };
            if let Err(refusal) = taken {
                answer.refused.push((path, refusal));
            }
        }
        Ok(answer)
    }

    /// The same from what the last check kept, without any server: for taking up work after a restart.
    ///
    /// # Errors
    /// As [`Verifier::check`]; [`Distrust::Missing`] if nothing was kept, [`Distrust::Expired`] if it has ended.
    pub async fn recall(&mut self, floors: &Floors) -> Result<Answer, TrustError> {
        let (director, image) = (self.folder.join(DIRECTOR), self.folder.join(IMAGE));
        self.check(Arc::new(Folder::new(director)), Arc::new(Folder::new(image)), None, floors).await
    }

    async fn director(
        &self,
        transport: Arc<dyn Transport>,
        now: WallTime,
    ) -> Result<(u64, BTreeMap<String, Target>), Distrust> {
        let vehicle = Some(self.identity.vehicle.as_str());
        let (root, folder) = (&self.roots.director, self.folder.join(DIRECTOR));
        let director = Refreshed::new(root, &folder, transport, vehicle, now, &self.limits).await?;
        let targets = director.targets()?;
        if targets.len() > MAX_TARGETS {
            return Err(Distrust::TooManyTargets(targets.len()));
        }
        Ok((director.version(), targets))
    }

    async fn image(&self, transport: Arc<dyn Transport>, now: WallTime) -> Result<Refreshed, Distrust> {
        Refreshed::new(&self.roots.image, &self.folder.join(IMAGE), transport, None, now, &self.limits).await
    }

    async fn compare(
        &self,
        path: &str,
        directed: &Target,
        image: &mut Refreshed,
        floors: &Floors,
    ) -> Result<Offer, Refusal> {
        let hardware = &self.identity.hardware;
        let floor = |family: &BundleName| floors.get(family).copied().unwrap_or(0);
        let index = verified::directed(path, directed, hardware, floor)?;
        let found = image.target(path).await.map_err(|reason| Refusal::Metadata(reason.by(Side::Image)))?;
        verified::agreed(index, directed, found.as_ref(), hardware)
    }
}

/// Where the verifier's folder keeps each repository's metadata.
const DIRECTOR: &str = "director";
const IMAGE: &str = "image";
