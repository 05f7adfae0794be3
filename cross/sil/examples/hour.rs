//! Simulates, and says what it made and how fast: the digest of all frames, which must not differ between machines,
//! and the factor to real time, which does.
//!
//! `cargo run --release -p telltale-sil --example hour [HOURS] [SEED]` (1 and 1)
#![allow(clippy::print_stdout)]

use sha2::{Digest as _, Sha256};
use std::time::Instant;
use telltale_sil::{Spec, Vehicle};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut given = std::env::args().skip(1);
    let hours: f64 = given.next().map_or(Ok(1.0), |text| text.parse())?;
    let seed: u64 = given.next().map_or(Ok(1), |text| text.parse())?;
    let spec = Spec { hours, powertrain: true, ..Spec::default() };

    let begun = Instant::now();
    let frames = Vehicle::new(&spec, seed)?.count();
    let took_s = begun.elapsed().as_secs_f64();

    let mut hash = Sha256::new();
    for frame in Vehicle::new(&spec, seed)? {
        hash.update(frame.wall.0.to_le_bytes());
        hash.update([frame.can.bus.0]);
        hash.update(frame.can.id.raw().to_le_bytes());
        hash.update(frame.can.payload());
    }
    let digest: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let factor = hours * 3_600.0 / took_s;
    println!("{digest}");
    println!("{hours} h, {frames} frames on two buses in {took_s:.2} s: {factor:.0} times real time");
    Ok(())
}
