//! What a run costs: no allocation, and time, which is printed.
//!
//! `cargo test --release -p telltale-infer --test costs -- --nocapture` states both.

mod vectors;

use std::time::Instant;
use vectors::{CELL_FAULT, CHANNELS, CHARGE_CHANNELS, STATE_OF_HEALTH, STATE_OF_HEALTH_SIM, model, model_of};

#[test]
fn a_run_of_a_shipped_model_allocates_nothing() {
    for (name, file, channels) in [
        ("cell-fault", CELL_FAULT, CHANNELS),
        ("state-of-health", STATE_OF_HEALTH, CHARGE_CHANNELS),
        ("state-of-health-sim", STATE_OF_HEALTH_SIM, CHARGE_CHANNELS),
    ] {
        let mut model = model_of(file, channels, 96);
        let (input, mut output) = (vec![7; channels * 96], [0; 96]);
        let run = allocation_counter::measure(|| model.infer(&input, &mut output).unwrap());
        assert_eq!((run.count_total, run.bytes_total), (0, 0), "{name}");
    }
}

#[test]
fn the_time_of_load_and_run() {
    let start = Instant::now();
    let mut model = model(CELL_FAULT, 96);
    println!("load: {:?}", start.elapsed());
    let (input, mut output) = ([7; CHANNELS * 96], [0; 96]);
    let mut runs: Vec<_> = (0..2_000)
        .map(|_| {
            let start = Instant::now();
            model.infer(&input, &mut output).unwrap();
            start.elapsed()
        })
        .collect();
    runs.sort();
    println!("run at 96 subjects: least {:?}, median {:?}, p99 {:?}", runs[0], runs[1_000], runs[1_980]);
    // Four orders of magnitude above the measured time: only a hang or an accidental quadratic fails it.
    assert!(runs[1_000].as_millis() < 200, "{:?}", runs[1_000]);
}
