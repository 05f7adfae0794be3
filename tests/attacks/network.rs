//! Attacks by whoever holds the line: endless data, slow data, no data. Time is virtual.

use crate::world::*;
use crate::{Scene, distrust, run};
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;
use telltale_trust::limits::{MAX_ROOT, MAX_SNAPSHOT, MAX_TARGETS_METADATA, MAX_TIMESTAMP};
use telltale_trust::{
    Answer, Distrust, FetchError, Fetched, Floors, Folder, Refusal, Side, Stick, Transport, TrustError,
};

/// A line to an honest folder, spoilt.
struct Line {
    folder: Folder,
    /// How long each file takes.
    delay: Duration,
    /// This file has no end.
    endless: Option<&'static str>,
    /// This file cannot be had.
    broken: Option<&'static str>,
}

impl Transport for Line {
    fn fetch<'a>(&'a self, name: &'a str, limit: usize) -> Fetched<'a> {
        Box::pin(async move {
            tokio::time::sleep(self.delay).await;
            if self.broken == Some(name) {
                return Err(FetchError::Failed("503".into()));
            }
            if self.endless == Some(name) {
                // A transport that forgets its limit.
                return Ok(Some(vec![b' '; limit + 1]));
            }
            self.folder.fetch(name, limit).await
        })
    }
}

fn over(attack: &str, spoil: impl FnOnce(&mut Line)) -> Result<Answer, TrustError> {
    let scene = Scene::new(attack);
    let world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    world.write(&scene.stick);
    let folder = Folder::new(scene.stick.join("image"));
    let mut line = Line { folder, delay: Duration::ZERO, endless: None, broken: None };
    spoil(&mut line);
    let director = Stick::new(&scene.stick).director();
    run(vehicle.check(director, Arc::new(line), Some(NOW), &Floors::new()))
}

fn fetch(file: &str, error: FetchError) -> Distrust {
    Distrust::Fetch { file: file.into(), error }
}

const FILES: [(&str, usize); 4] = [
    ("timestamp.json", MAX_TIMESTAMP),
    ("1.snapshot.json", MAX_SNAPSHOT),
    ("1.targets.json", MAX_TARGETS_METADATA),
    ("2.root.json", MAX_ROOT),
];

#[test]
fn endless_data() {
    for (file, limit) in FILES {
        let answer = over("endless-data", |line| line.endless = Some(file));
        assert_eq!(distrust(Side::Image, answer), fetch(file, FetchError::TooLong { limit }));
        // A file that claims to be a terabyte is not read to its end.
        let scene = Scene::new("endless-data");
        let world = World::honest();
        let mut vehicle = world.vehicle(&scene.store);
        world.write(&scene.stick);
        File::create(scene.stick.join("image").join(file)).unwrap().set_len(1 << 40).unwrap();
        let answer = scene.read(&mut vehicle, Some(NOW), &Floors::new());
        assert_eq!(distrust(Side::Image, answer), fetch(file, FetchError::TooLong { limit }));
    }
    let answer = over("endless-data", |line| line.endless = Some("1.cell-fault.json"));
    let Refusal::Metadata(error) = crate::refusal(answer) else { panic!() };
    let error_there = FetchError::TooLong { limit: MAX_TARGETS_METADATA };
    assert_eq!(error.reason, fetch("1.cell-fault.json", error_there));
}

#[test]
fn slow_retrieval() {
    let answer = over("slow-retrieval", |line| line.delay = Duration::from_secs(61));
    let error = FetchError::TooSlow { seconds: 60 };
    assert_eq!(distrust(Side::Image, answer), fetch("2.root.json", error));
}

#[test]
fn slow_retrieval_of_each_file_in_time() {
    // Each file arrives just in time, but there are many.
    let scene = Scene::new("slow-retrieval");
    let mut world = World::honest();
    let mut vehicle = world.vehicle(&scene.store);
    (0..20).for_each(|_| world.image.rotate(|_| ()));
    world.write(&scene.stick);
    let folder = Folder::new(scene.stick.join("image"));
    let line = Line { folder, delay: Duration::from_secs(59), endless: None, broken: None };
    let director = Stick::new(&scene.stick).director();
    let answer = run(vehicle.check(director, Arc::new(line), Some(NOW), &Floors::new()));
    let error = FetchError::TooSlow { seconds: 300 };
    assert_eq!(distrust(Side::Image, answer), fetch("the metadata", error));
}

#[test]
fn cut_line() {
    for (file, _) in FILES {
        let answer = over("cut-line", |line| line.broken = Some(file));
        assert_eq!(distrust(Side::Image, answer), fetch(file, FetchError::Failed("503".into())));
    }
}

#[test]
fn missing_files() {
    for file in ["timestamp.json", "1.snapshot.json", "1.targets.json"] {
        let scene = Scene::new("missing-files");
        let world = World::honest();
        let mut vehicle = world.vehicle(&scene.store);
        world.write(&scene.stick);
        std::fs::remove_file(scene.stick.join("director").join(file)).unwrap();
        let answer = scene.read(&mut vehicle, Some(NOW), &Floors::new());
        assert_eq!(distrust(Side::Director, answer), Distrust::Missing { file: file.into() });
    }
}
