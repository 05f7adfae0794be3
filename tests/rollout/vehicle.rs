//! One vehicle: a connection, the real verifier and the real life cycle, with a memory for a disk.

use crate::models::{Does, HARDWARE, outputs};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use telltale_core::pipeline::Comparison;
use telltale_core::update::{
    Effect, Event, Failure, Family, Interest, Kept, Place, Policy, Release, Stage, State, Step,
};
use telltale_trust::{FetchError, Fetched, Floors, Identity, Offer, Roots, Transport, Verified, Verifier};
use telltale_wire::bundle::{BundleIndex, BundleName, PartKind};
use telltale_wire::digest::{Digest, ShortDigest};
use telltale_wire::envelope;
use telltale_wire::ids::{BootId, Lane, Seq, VehicleId};
use telltale_wire::record::{ModelRef, RawRecord, Record};
use telltale_wire::sync::{Batch, SYNC_PATH, SyncRequest, SyncResponse};
use telltale_wire::time::{MonoTime, Stamp, WallTime};
use telltale_wire::update::{ShadowReport, UpdateEvent, UpdateReason};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

type Line = SendRequest<Full<Bytes>>;

pub(crate) struct Vehicle {
    id: VehicleId,
    line: Line,
    verifier: Verifier,
    family: Family,
    /// The server's word that was acted on last.
    acted: u64,
    server_time: Option<WallTime>,
    /// Indexes and chunks that are held, by digest: the disk.
    indexes: BTreeMap<Digest, Verified<BundleIndex>>,
    chunks: BTreeMap<Digest, Vec<u8>>,
    latest: Option<Comparison>,
    records: Vec<RawRecord>,
    seq: u64,
    /// How often it was made sure that a whole model runs.
    pub(crate) looks: u64,
}

/// A repository of the server's, over the vehicle's connection.
struct Remote {
    line: Line,
    side: &'static str,
}

impl Transport for Remote {
    fn fetch<'a>(&'a self, name: &'a str, limit: usize) -> Fetched<'a> {
        Box::pin(async move {
            let path = format!("/v1/ota/{}/{name}", self.side);
            let found = get(&self.line, &path).await.map_err(FetchError::Failed)?;
            match found {
                Some(bytes) if bytes.len() > limit => Err(FetchError::TooLong { limit }),
                found => Ok(found),
            }
        })
    }
}

async fn get(line: &Line, path: &str) -> Result<Option<Vec<u8>>, String> {
    let request = Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap();
    match send(line, request).await? {
        (StatusCode::OK, body) => Ok(Some(body)),
        (StatusCode::NOT_FOUND, _) => Ok(None),
        (status, body) => Err(format!("{path}: {status}: {}", String::from_utf8_lossy(&body))),
    }
}

async fn send(line: &Line, request: Request<Full<Bytes>>) -> Result<(StatusCode, Vec<u8>), String> {
    let mut line = line.clone();
    line.ready().await.map_err(|error| error.to_string())?;
    let response = line.send_request(request).await.map_err(|error| error.to_string())?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(|error| error.to_string())?;
    Ok((status, body.to_bytes().into()))
}

impl Vehicle {
    pub(crate) async fn connect(
        id: VehicleId,
        server: SocketAddr,
        tls: rustls::ClientConfig,
        trust: &Path,
        roots: Roots,
    ) -> Self {
        let stream = TcpStream::connect(server).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap();
        let (line, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let identity = Identity { vehicle: id.clone(), hardware: HARDWARE.parse().unwrap() };
        let verifier = Verifier::open(trust, roots, identity).unwrap();
        Self {
            id,
            line,
            verifier,
            family: Family::new(Kept::new(family()), policy()),
            acted: 0,
            server_time: None,
            indexes: BTreeMap::new(),
            chunks: BTreeMap::new(),
            latest: None,
            records: Vec::new(),
            seq: 1,
            looks: 0,
        }
    }

    /// The release that it committed.
    pub(crate) fn runs(&self) -> Option<u32> {
        self.family.kept().active_release().map(|release| release.number)
    }

    /// One contact: what there is to tell, what there is to have, and a step of the update.
    pub(crate) async fn turn(&mut self) {
        let desired = self.sync().await;
        if desired != self.acted {
            self.check().await;
            self.acted = desired;
        }
        self.go_on().await;
        self.has_a_model();
    }

    async fn sync(&mut self) -> u64 {
        let at = self.stamp();
        let records = std::mem::take(&mut self.records);
        let next = self.seq + records.len() as u64;
        let batch = Batch { boot: BootId::new(1, 1), lane: Lane::Status, first_seq: Seq(self.seq), records };
        let batches = if batch.records.is_empty() { Vec::new() } else { vec![batch] };
        let request = SyncRequest { vehicle: self.id.clone(), sent: at, batches };
        let body = Full::from(envelope::seal(&request).unwrap());
        let request = Request::post(format!("https://localhost{SYNC_PATH}")).body(body).unwrap();
        let (status, body) = send(&self.line, request).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{}", self.id);
        self.seq = next;
        let answer: SyncResponse = envelope::open(&body).unwrap();
        self.server_time = Some(answer.server_time);
        answer.desired_state
    }

    /// Asks both repositories what it shall have, and takes what they agree on.
    async fn check(&mut self) {
        let remote = |side| Arc::new(Remote { line: self.line.clone(), side }) as Arc<dyn Transport>;
        let (director, image) = (remote("director"), remote("image"));
        let floors = Floors::from([(family(), self.family.kept().floor)]);
        let answer = self.verifier.check(director, image, self.server_time, &floors).await.unwrap();
        assert!(answer.refused.is_empty(), "{}: {:?}", self.id, answer.refused);
        match answer.offers.first() {
            Some(offer) => self.take(offer).await,
            None => self.handle(Event::Withdrawn),
        }
    }

    async fn take(&mut self, offer: &Offer) {
        let (number, digest) = (offer.path().release, offer.pin().digest);
        if !matches!(self.family.consider(number, &digest), Interest::Take | Interest::Continue) {
            return;
        }
        let bytes = get(&self.line, &format!("/v1/ota/index/{}", offer.path())).await.unwrap().unwrap();
        let index = offer.index(&bytes).unwrap();
        let release = Release { number, version: index.version.clone(), bundle: digest };
        self.indexes.insert(digest, index);
        self.handle(Event::Offered(release, Ok(())));
    }

    /// What the update under way asks for next.
    async fn go_on(&mut self) {
        let Some(update) = self.family.kept().open().cloned() else { return };
        let bundle = update.release.bundle;
        match update.state {
            State::Offered => self.handle(Event::Prepared),
            State::Downloading => {
                self.fetch(bundle).await;
                self.handle(Event::Fetched);
            }
            State::Staged => {
                let model = self.part(bundle, PartKind::Model);
                if outputs(&model).0.as_slice() == self.part(bundle, PartKind::Golden) {
                    self.handle(Event::Tested);
                } else {
                    let reason = UpdateReason::GoldenDiffers;
                    self.handle(Event::Failed(Failure { reason, why: String::new() }));
                }
            }
            State::Shadow | State::Trial => match Does::read(&self.part(bundle, PartKind::Model)) {
                Does::Crash => self.crash(),
                does => {
                    let comparison = does.compared(update.state == State::Trial);
                    self.latest = Some(comparison);
                    self.handle(Event::Compared(comparison));
                }
            },
            State::SelfTested | State::Committed | State::RolledBack(_) | State::Refused(_) => {}
        }
    }

    /// Only what it does not hold from an earlier release; each chunk checked as it comes.
    async fn fetch(&mut self, bundle: Digest) {
        let index = &self.indexes[&bundle];
        for chunk in index.chunks() {
            if self.chunks.contains_key(&chunk.digest) {
                continue;
            }
            let path = format!("/v1/ota/chunk/{}", chunk.digest);
            let bytes = get(&self.line, &path).await.unwrap().unwrap();
            index.check_chunk(chunk.number, &bytes).unwrap();
            self.chunks.insert(chunk.digest, bytes);
        }
    }

    fn part(&self, bundle: Digest, kind: PartKind) -> Vec<u8> {
        let index = &self.indexes[&bundle];
        let place = index.place(kind).unwrap();
        index.chunks[place.chunks].iter().flat_map(|digest| self.chunks[digest].clone()).collect()
    }

    /// The agent ends without a word, and starts again with what was kept.
    fn crash(&mut self) {
        self.family = Family::new(self.family.kept().clone(), policy());
        self.has_a_model();
        let step = self.family.start();
        self.carry_out(step);
    }

    fn handle(&mut self, event: Event) {
        let step = self.family.handle(event).unwrap();
        self.carry_out(step);
    }

    fn carry_out(&mut self, mut step: Option<Step>) {
        while let Some(next) = step {
            for effect in self.family.take(next) {
                match effect {
                    Effect::Tell(told) => {
                        let release = told.release.unwrap();
                        let event = UpdateEvent {
                            at: self.stamp(),
                            family: family().to_string(),
                            release: release.number,
                            version: release.version,
                            bundle: release.bundle,
                            step: told.step,
                            reason: told.reason,
                            why: told.why,
                        };
                        self.records.push(Record::Update(event).to_raw().unwrap());
                    }
                    Effect::Report => self.report(),
                    Effect::Sweep => self.sweep(),
                    Effect::Arrange | Effect::SelfTest | Effect::Prepare | Effect::Fetch => {}
                }
                self.has_a_model();
            }
            step = self.family.proceed();
        }
    }

    fn report(&mut self) {
        let (Some(ran), Some(update)) = (self.latest.take(), self.family.kept().update.clone()) else {
            return;
        };
        let report = ShadowReport {
            from: self.stamp(),
            to: self.stamp(),
            family: family().to_string(),
            release: update.release.number,
            bundle: update.release.bundle,
            reference: ModelRef { name: family().to_string(), digest: ShortDigest([0; 8]) },
            is_trial: ran.is_trial,
            windows: ran.windows,
            compared: ran.compared,
            disagreements: ran.disagreements,
            widest_gap: ran.widest_gap,
            candidate: ran.candidate_ran,
            reference_ran: ran.reference_ran,
        };
        self.records.push(Record::Shadow(report).to_raw().unwrap());
    }

    /// Deletes what the state does not name, as the disk's owner does.
    fn sweep(&mut self) {
        let needed: Vec<Digest> = self.family.kept().needed().map(|(_, release)| release.bundle).collect();
        self.indexes.retain(|bundle, _| needed.contains(bundle));
        let kept: Vec<Digest> = self.indexes.values().flat_map(|index| index.chunks.clone()).collect();
        self.chunks.retain(|digest, _| kept.contains(digest));
    }

    /// Whatever speaks is the model of the configuration, or a bundle that is wholly there, verified, and works.
    fn has_a_model(&mut self) {
        self.looks += 1;
        let Place::Slot(slot) = self.family.arrangement().speaks else { return };
        let release =
            self.family.kept().slot(slot).unwrap_or_else(|| panic!("{}: an empty slot speaks", self.id));
        let index = &self.indexes[&release.bundle];
        for chunk in index.chunks() {
            index.check_chunk(chunk.number, &self.chunks[&chunk.digest]).unwrap();
        }
        let does = Does::read(&self.part(release.bundle, PartKind::Model));
        let on_trial = self.family.kept().open().is_some_and(|update| update.state == State::Trial);
        assert!(
            on_trial || matches!(does, Does::Well | Does::DifferALittle),
            "{}: committed a model that does {does:?}",
            self.id
        );
    }

    fn stamp(&self) -> Stamp {
        Stamp { mono: MonoTime(self.seq * 1_000_000), wall: self.server_time }
    }
}

fn family() -> BundleName {
    BundleName::new("cell-fault").unwrap()
}

fn policy() -> Policy {
    let stage = Stage { windows: 12, time: Duration::from_secs(3_600) };
    Policy { shadow: stage, trial: stage, attempts: 3, ..Policy::default() }
}
