//! What a run costs: allocations, held to a bound, and time, printed.
//!
//! `cargo test --release -p telltale-infer --test costs -- --nocapture` states both.

mod vectors;

use std::time::Instant;
use vectors::{CELL_FAULT, CHANNELS, model};

/// Measured 4 at 96 subjects, 1.9 kB together: the input's and the output's tensors and the lists that hold them. tract's
/// own convolutions took 38.
const MOST_ALLOCATIONS: u64 = 8;

#[test]
fn a_run_allocates_a_bounded_number_of_times_and_keeps_nothing() {
    let mut model = model(CELL_FAULT, 96);
    let (input, mut output) = ([7; CHANNELS * 96], [0; 96]);
    model.infer(&input, &mut output).unwrap();
    let run = allocation_counter::measure(|| model.infer(&input, &mut output).unwrap());
    println!("allocations a run: {} of {} bytes together", run.count_total, run.bytes_total);
    assert!(run.count_total <= MOST_ALLOCATIONS, "{run:?}");
    assert_eq!((run.count_current, run.bytes_current), (0, 0), "a run must return what it took");
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
