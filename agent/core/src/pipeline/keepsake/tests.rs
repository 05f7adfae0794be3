//! A restart in the middle of a judgement, on a disk whose power is cut, with bytes from anyone.

use super::super::tests::{CELLS, S, catalog, frame, loaded};
use super::super::{Beside, PipelineConfig, View};
use super::*;
use crate::clock::ClockAnchor;
use crate::model::Model;
use crate::storage::disk::{Disk, Faults};
use crate::storage::state;
use telltale_wire::record::{Record, VerdictCode, VerdictEvent};

/// The lower a cell, the higher its logit.
struct LowIsOdd;

impl Model for LowIsOdd {
    fn infer(&mut self, input: &[i8], output: &mut [i8]) -> Result<(), String> {
        output.iter_mut().zip(input).for_each(|(out, q)| *out = q.saturating_neg().saturating_sub(20));
        Ok(())
    }
}

const SOUND: [u16; CELLS] = [3_700; CELLS];
const LOW: [u16; CELLS] = [3_700, 3_640, 3_700, 3_700];
/// The wall time of a start's second 0.
const BEGAN: [i64; 2] = [1_700_000_000_000_000, 1_700_090_000_000_000];

/// A start of the agent, with a model of this digest.
fn start(model: &str, which: usize) -> Pipeline {
    let mut pipeline =
        Pipeline::new(&catalog(""), vec![loaded(model, LowIsOdd)], PipelineConfig::default()).unwrap();
    pipeline.set_anchor(Some(ClockAnchor { mono: MonoTime(0), wall: WallTime(BEGAN[which]) }));
    pipeline
}

fn run(pipeline: &mut Pipeline, seconds: std::ops::Range<u64>, volts: [u16; CELLS]) -> Vec<VerdictEvent> {
    seconds.for_each(|s| pipeline.handle_frame(&frame(s, volts)));
    let records = std::iter::from_fn(|| pipeline.poll_record());
    records.filter_map(|r| if let Record::Verdict(event) = r { Some(event) } else { None }).collect()
}

fn standing(pipeline: &Pipeline) -> Vec<VerdictCode> {
    let mut view = View::with_room(pipeline.outline());
    pipeline.look(MonoTime(0), &mut view);
    view.models[0].subjects.iter().map(|subject| subject.verdict).collect()
}

#[test]
fn a_verdict_outlives_a_restart_and_ends_as_it_would_have() {
    let mut before = start("m", 0);
    run(&mut before, 0..10, SOUND);
    assert_eq!(run(&mut before, 10..20, LOW).len(), 1);
    assert_eq!(before.happened().changes, 1);
    let mut after = start("m", 1);
    assert_eq!(after.recall(&before.remember()), Ok(vec![Recalled::Taken("cell-fault".into())]));
    assert_eq!(standing(&after)[1], VerdictCode::Anomalous, "before the first window");
    assert!(run(&mut after, 0..20, LOW).is_empty(), "it is no news");
    let events = run(&mut after, 20..40, SOUND);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].verdict, VerdictCode::Nominal);
}

#[test]
fn windows_before_and_after_a_restart_count_together_and_since_is_of_the_earlier_start() {
    let mut before = start("m", 0);
    run(&mut before, 0..5, LOW);
    assert_eq!(before.happened().windows, 1, "one window, and two are needed");
    let mut after = start("m", 1);
    after.recall(&before.remember()).unwrap();
    let events = run(&mut after, 0..5, LOW);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0].since.wall, Some(WallTime(BEGAN[0] + 4 * S as i64)));
    assert!(run(&mut start("m", 1), 0..5, LOW).is_empty(), "alone it is not enough");
}

#[test]
fn what_another_model_held_is_not_taken() {
    let mut before = start("m", 0);
    run(&mut before, 0..20, LOW);
    let mut other = start("n", 1);
    assert_eq!(other.recall(&before.remember()), Ok(vec![Recalled::OtherModel("cell-fault".into())]));
    assert!(standing(&other).iter().all(|verdict| *verdict != VerdictCode::Anomalous));
    let mut kept: Vec<Kept> = decoded(&before.remember());
    kept[0].features = Digest([7; 32]);
    let mut same = start("m", 1);
    assert_eq!(same.recall(&sealed(&kept)), Ok(vec![Recalled::OtherModel("cell-fault".into())]));
    kept = decoded(&before.remember());
    kept[0].tracks.pop();
    assert_eq!(same.recall(&sealed(&kept)), Ok(vec![Recalled::Unfit("cell-fault".into())]));
    assert!(standing(&same).iter().all(|verdict| *verdict != VerdictCode::Anomalous));
}

#[test]
fn what_is_kept_of_a_model_has_to_fit_its_subjects_to_the_last() {
    let mut before = start("m", 0);
    run(&mut before, 0..20, LOW);
    let whole = before.remember();
    for spoil in [
        |kept: &mut Kept| kept.tracks.truncate(1),
        |kept: &mut Kept| kept.kinds.truncate(1),
        |kept: &mut Kept| kept.kinds.push(None),
        // A verdict of this model is formed over three windows.
        |kept: &mut Kept| kept.tracks[0].history = 0b1000,
        |kept: &mut Kept| kept.trends = vec![Trend::default(); 100],
    ] {
        let mut kept: Vec<Kept> = decoded(&whole);
        spoil(&mut kept[0]);
        let mut after = start("m", 1);
        assert_eq!(after.recall(&sealed(&kept)), Ok(vec![Recalled::Unfit("cell-fault".into())]));
        assert!(standing(&after).iter().all(|verdict| *verdict != VerdictCode::Anomalous), "none by half");
    }
}

#[test]
fn drift_of_another_form_takes_everything_else_with_it() {
    const DRIFT: &str = "fast_windows = 2\nslow_windows = 4\n[[input]]\nfeature = \"deviation_median\"\n\
        edges = [0.0]\nshare = [0.5, 0.5]\nlimits = { fast = 1.0, slow = 1.0 }\n";
    let drifting = || {
        let mut model = loaded("m", LowIsOdd);
        model.manifest.drift = Some(toml::from_str(DRIFT).unwrap());
        Pipeline::new(&catalog(""), vec![model], PipelineConfig::default()).unwrap()
    };
    let mut before = drifting();
    run(&mut before, 0..20, LOW);
    let mut kept: Vec<Kept> = decoded(&before.remember());
    assert_eq!(drifting().recall(&sealed(&kept)), Ok(vec![Recalled::Taken("cell-fault".into())]));
    kept[0].drift.clear();
    let mut after = drifting();
    assert_eq!(after.recall(&sealed(&kept)), Ok(vec![Recalled::Unfit("cell-fault".into())]));
    assert!(standing(&after).iter().all(|verdict| *verdict != VerdictCode::Anomalous));
}

/// A model that speaks, and a candidate beside it.
fn with_candidate(which: usize) -> Pipeline {
    let beside = Beside { speaker: 0, model: Some(loaded("n", LowIsOdd)), is_trial: false };
    let speakers = vec![loaded("m", LowIsOdd)];
    let mut pipeline =
        Pipeline::with_beside(&catalog(""), speakers, vec![beside], PipelineConfig::default()).unwrap();
    pipeline.set_anchor(Some(ClockAnchor { mono: MonoTime(0), wall: WallTime(BEGAN[which]) }));
    pipeline
}

#[test]
fn a_candidate_is_neither_kept_nor_given_what_was_kept() {
    let mut before = with_candidate(0);
    run(&mut before, 0..20, LOW);
    let kept: Vec<Kept> = decoded(&before.remember());
    assert_eq!(kept.len(), 1, "the one that speaks");
    assert_eq!(before.happened().changes, 1, "its verdict counts once");
    // What the candidate would hold, had it spoken.
    let mut alone = start("n", 0);
    run(&mut alone, 0..20, LOW);
    let told = with_candidate(1).recall(&alone.remember());
    assert_eq!(told, Ok(vec![Recalled::OtherModel("cell-fault".into())]));
}

#[test]
fn it_is_time_to_keep_after_each_change_and_after_an_hour_of_windows() {
    let kept = Happened { changes: 3, windows: 100 };
    assert!(!kept.is_worth_keeping(kept));
    assert!(Happened { changes: 4, ..kept }.is_worth_keeping(kept));
    assert!(!Happened { windows: 100 + KEEP_AFTER - 1, ..kept }.is_worth_keeping(kept));
    assert!(Happened { windows: 100 + KEEP_AFTER, ..kept }.is_worth_keeping(kept));
    assert!(Happened { windows: 0, ..kept }.is_worth_keeping(kept), "counted anew after a reload");
}

fn decoded(bytes: &[u8]) -> Vec<Kept> {
    postcard::from_bytes(&bytes[HEAD.len()..bytes.len() - 4]).unwrap()
}

fn sealed(kept: &[Kept]) -> Vec<u8> {
    let mut bytes = postcard::to_extend(&kept, HEAD.to_vec()).unwrap();
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

#[test]
fn bytes_from_anyone_are_refused_or_left_out_and_never_taken_by_half() {
    let mut before = start("m", 0);
    run(&mut before, 0..20, LOW);
    let whole = before.remember();
    for len in 0..whole.len() {
        assert!(start("m", 1).recall(&whole[..len]).is_err(), "cut at {len}");
    }
    let mut after = start("m", 1);
    for place in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[place] ^= 0x40;
        assert!(after.recall(&flipped).is_err(), "byte {place}");
        // The same with a checksum that fits: read or refused, but never a panic.
        let body = flipped.len() - 4;
        let sum = crc32fast::hash(&flipped[..body]);
        flipped[body..].copy_from_slice(&sum.to_le_bytes());
        if after.recall(&flipped).is_ok() {
            run(&mut start("m", 1), 0..10, LOW);
        }
    }
    let long = [&HEAD[..], &[0xff; 64]].concat();
    let sum = crc32fast::hash(&long).to_le_bytes();
    assert!(matches!(after.recall(&[long, sum.to_vec()].concat()), Err(KeepsakeError::Malformed(_))));
}

#[test]
fn whenever_the_power_is_cut_an_earlier_state_is_read_whole() {
    let states: Vec<Vec<u8>> = (1..5)
        .map(|drives| {
            let mut pipeline = start("m", 0);
            run(&mut pipeline, 0..drives * 5, LOW);
            pipeline.remember()
        })
        .collect();
    let live = |disk: &mut Disk| {
        let mut last = None;
        for (n, bytes) in states.iter().enumerate() {
            match state::replace(disk, HELD, bytes) {
                Ok(()) => last = Some(n),
                Err(_) => return last,
            }
        }
        last
    };
    let mut unbroken = Disk::new(1);
    assert_eq!(live(&mut unbroken), Some(3));
    let cuts = unbroken.operations();
    assert!(cuts > 20, "{cuts}");
    for cut in 1..=cuts {
        for seed in 0..20 {
            let mut disk = Disk::new(seed);
            disk.set_faults(Faults { cut_at: Some(cut), ..Faults::default() });
            let last = live(&mut disk);
            disk.power_cycle();
            let found = state::read(&mut disk, HELD).unwrap();
            let which = found.as_ref().map(|found| states.iter().position(|s| s == found));
            assert_ne!(which, Some(None), "cut {cut}, seed {seed}: none of the states");
            assert!(which.flatten() >= last, "cut {cut}, seed {seed}: {which:?} is older than {last:?}");
            if let Some(found) = found {
                let recalled = start("m", 1).recall(&found);
                assert_eq!(recalled, Ok(vec![Recalled::Taken("cell-fault".into())]));
            }
        }
    }
}

#[test]
fn what_is_kept_is_bounded_by_the_subjects() {
    let mut pipeline = start("m", 0);
    run(&mut pipeline, 0..100, LOW);
    let bytes = pipeline.remember();
    assert!(bytes.len() < 80 + 24 * CELLS, "{}", bytes.len());
    const { assert!(4_096 * 130 + 20_000 < state::MAX_STATE, "the most subjects of a catalog fit as well") };
}
