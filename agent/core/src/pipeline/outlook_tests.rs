//! What the fleet says is ahead: told anew when it comes and when it ends, by a timer or a frame, and over a swap.

use super::tests::{CELLS, catalog, frame};
use super::*;
use crate::range::{Outlook, RangeModel};
use telltale_wire::desired::RoadClass;
use telltale_wire::estimate::Quantity;

const LEVEL: [u16; CELLS] = [3_700; CELLS];
const SECOND: u64 = 1_000_000;

fn pipeline() -> Pipeline {
    let document = include_str!("../../../../models/range/range.toml");
    let range = Some(RangeModel::parse(document, "range.toml").unwrap());
    Pipeline::new(&catalog(""), Vec::new(), PipelineConfig { range, ..PipelineConfig::default() }).unwrap()
}

fn outlook(until_s: u64, road: RoadClass) -> Option<Outlook> {
    Some(Outlook { until: MonoTime(until_s * SECOND), ambient_c: Some(-5.0), road: Some(road) })
}

/// Each energy per kilometre that was told.
fn told(pipeline: &mut Pipeline) -> Vec<f32> {
    let records = std::iter::from_fn(|| pipeline.poll_record());
    let energy = |record| match record {
        Record::Estimate(told) if told.quantity == Quantity::EnergyPerDistance => {
            told.subjects[0].value.ok().map(|interval| interval.value)
        }
        _ => None,
    };
    records.filter_map(energy).collect()
}

#[test]
fn it_is_told_when_it_comes_and_when_it_ends() {
    let mut pipeline = pipeline();
    assert!(pipeline.look_ahead(MonoTime(10 * SECOND), outlook(30, RoadClass::Motorway)));
    let [cold] = told(&mut pipeline)[..] else { panic!() };
    assert!(pipeline.look_ahead(MonoTime(11 * SECOND), outlook(30, RoadClass::Motorway)));
    assert_eq!(told(&mut pipeline), [], "the same again is no news");
    assert!(pipeline.poll_timeout().is_some_and(|due| due <= MonoTime(30 * SECOND)));
    pipeline.handle_timeout(MonoTime(30 * SECOND - 1));
    assert_eq!(told(&mut pipeline), []);
    pipeline.handle_timeout(MonoTime(30 * SECOND));
    let [own] = told(&mut pipeline)[..] else { panic!() };
    assert!(cold > own && pipeline.poll_timeout().is_none_or(|due| due > MonoTime(30 * SECOND)));
    pipeline.handle_timeout(MonoTime(31 * SECOND));
    assert_eq!(told(&mut pipeline), []);

    // A frame ends it as well, and another pipeline goes on with it.
    let until = MonoTime(39 * SECOND + SECOND / 2);
    let urban = outlook(0, RoadClass::Urban).map(|outlook| Outlook { until, ..outlook });
    pipeline.look_ahead(MonoTime(32 * SECOND), urban);
    let [urban] = told(&mut pipeline)[..] else { panic!() };
    let mut next = self::pipeline();
    next.inherit(&mut pipeline);
    next.handle_frame(&frame(39, LEVEL));
    assert_eq!(told(&mut next), []);
    let mut later = frame(39, LEVEL);
    later.at = until.plus(Duration::from_millis(1));
    next.handle_frame(&later);
    assert_eq!(told(&mut next), [own]);
    assert!(urban != cold);
}

#[test]
fn where_no_range_is_estimated_it_says_so() {
    let mut pipeline = Pipeline::new(&catalog(""), Vec::new(), PipelineConfig::default()).unwrap();
    assert!(!pipeline.look_ahead(MonoTime(0), outlook(9, RoadClass::Rural)));
    assert_eq!(pipeline.poll_record(), None);
}
