//! A week of simulated driving, twice: with an agent that is started, stopped and killed every day over one spool, and
//! with one that runs through, while its server goes and comes. Descriptors, threads, disk and what is held of the heap
//! stay flat, and every durable record arrives exactly once; what the allocator keeps besides is told.

use crate::bench::{Bench, PATIENCE, Process, Records};
use crate::footprint::{Footprint, median, rise};
use crate::heap::{Heap, Held};
use crate::rig;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};
use telltale_wire::record::{RawRecord, Record};

const DAYS: usize = 7;

/// A day is replayed and synced, on a machine that has other things to do.
const LIMIT: Duration = Duration::from_secs(120);

/// Simulated seconds between two looks at an agent that runs through.
const LOOK_S: u64 = 20 * 60;

/// A simulated day takes at least this long to pass through one process: the store and the line keep up with it.
const DAY: Duration = Duration::from_secs(5);

/// The first days fill caches, the ring and the allocator's pools, and bring the first reload.
const WARM_UP_DAYS: usize = 2;

/// Descriptors open beside the usual ones, at any look: a file that is read, a command that asks.
const PASSING: u64 = 4;

/// A connection that waits to be dialled anew, and the thread that a reload leaves idle for ten seconds, may be missing
/// on one day and not on another. What is left behind once a day makes five by the last.
const COMES_AND_GOES: u64 = 1;

/// What an agent at rest holds of the heap may differ by so much from one day's end to another's: a connection that is
/// open, with its TLS session, takes 16 to 20 kB in 240 blocks. A byte left behind by each second makes 430 kB from the
/// second day to the last.
const HELD_TOLERANCE: Held = Held { bytes: 32 * 1024, blocks: 400 };

/// Segments of the spool are not counted among the descriptors: up to eight of them stay open, as they were used.
const SEGMENT: &str = "/spool/";

/// The allocator (`mallopt(3)`) gives back what is free as soon as it can, so that what stays is what is held, and not
/// the most that was held at once.
const GIVES_BACK: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "65536"), ("MALLOC_MMAP_THRESHOLD_", "16384")];

#[test]
fn a_week_of_restarts_leaves_spool_and_footprint_as_they_were() {
    let began = Instant::now();
    let bench = Bench::new();
    bench.drive("day.log", "24");
    let frames = std::fs::read_to_string(bench.path("day.log")).unwrap().lines().count() as u64;
    // A day in 2.4 s: there is always a next frame to stop in.
    bench.configure("day.toml", "day.log", "30000", 60);
    let mut cloud = bench.cloud();
    let mut held = Records::new();
    let mut days: Vec<Day> = Vec::new();
    for day in 1..=DAYS {
        let mut stops = 0;
        for part in 0..1 + day % 2 {
            let mut agent = bench.agent("day.toml");
            sleep(Duration::from_millis(250 + 100 * (day + part) as u64));
            stops += 1;
            if (day, part) == (4, 0) || (day, part) == (5, 1) {
                assert!(agent.kill9(), "it had ended before: {}", agent.said());
            } else {
                agent.terminate();
                assert_eq!(agent.ended(PATIENCE).code(), Some(0), "{}", agent.said());
                assert!(agent.said().contains("stopping: a signal asked for it"), "{}", agent.said());
            }
            bench.look_into_the_spool(&mut held);
        }
        let mut agent = bench.agent("day.toml");
        let looks = looks_until_the_end(&agent);
        assert_eq!(agent.ended(LIMIT).code(), Some(0), "{}", agent.said());
        assert_eq!(bench.look_into_the_spool(&mut held), 0, "the drained spool holds records");
        days.push(Day::of(&bench, stops, &looks, &cloud));
    }
    cloud.terminate();
    assert_eq!(cloud.ended(PATIENCE).code(), Some(0), "{}", cloud.said());
    report("a start or more a day", &days, began);

    let fleet = bench.fleet();
    fleet.holds_each_once(&held);
    fleet.has_no_gap();
    let whole = frames_of_whole_drives(&fleet.records, frames);
    println!("{} records waited at a stop; {whole} boots account for each of {frames} frames", held.len());
    assert!(held.len() > 500, "too little waited at a stop: {}", held.len());
    assert_eq!(whole, DAYS);
    flat_disk(&days);
    flat_footprint(&days);
}

#[test]
fn a_week_in_one_process_leaves_nothing_behind() {
    let began = Instant::now();
    let bench = Bench::new();
    bench.configure("week.toml", "-", "max", 60);
    let mut cloud = bench.cloud();
    let heap = Heap::new(&bench.path(""));
    let counted = heap.iter().flat_map(Heap::environment);
    let mut agent =
        bench.agent_that_reads("week.toml", &GIVES_BACK.into_iter().chain(counted).collect::<Vec<_>>());
    let mut fed = agent.stdin();
    let mut simulator = Command::new(rig::program("telltale"))
        .args(["simulate", "--hours", &(24 * DAYS).to_string(), "--fault", "high-resistance"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut drive = simulator.stdout.take().unwrap();
    let mut chunk = vec![0; 64 * 1024];
    let (mut start, mut next) = (None, LOOK_S);
    let mut days: Vec<Day> = Vec::new();
    let mut looks: Vec<Footprint> = Vec::new();
    let mut line: Vec<(f64, f64)> = Vec::new();
    let (mut asked, mut held): (Vec<_>, Vec<Held>) = Default::default();
    let fed_since = Instant::now();
    loop {
        let read = drive.read(&mut chunk).unwrap();
        fed.write_all(&chunk[..read]).unwrap_or_else(|error| panic!("{error}: {}", agent.said()));
        let Some(second) = second_of(&chunk[..read]).filter(|_| read > 0) else {
            if read == 0 { break } else { continue }
        };
        let at = second - *start.get_or_insert(second);
        if at < next {
            continue;
        }
        next = at - at % LOOK_S + LOOK_S;
        sleep(DAY.mul_f64(at as f64 / 86_400.0).saturating_sub(fed_since.elapsed()));
        if at >= 86_400 * (days.len() as u64 + 1) {
            days.push(Day::of(&bench, 0, &std::mem::take(&mut looks), &cloud));
            held.extend(heap.as_ref().map(|heap| heap.at_rest(expected(&held))));
            asked.push(what_a_day_brings(&bench, &agent, &mut cloud));
        }
        let look =
            Footprint::of(agent.id(), SEGMENT).unwrap_or_else(|| panic!("it has ended: {}", agent.said()));
        if days.len() >= WARM_UP_DAYS {
            line.push((at as f64, look.heap as f64));
        }
        looks.push(look);
    }
    assert!(simulator.wait().unwrap().success());
    asked.into_iter().for_each(|asking| asking.join().unwrap());
    held.extend(heap.as_ref().map(|heap| heap.at_rest(expected(&held))));
    drop(fed);
    looks.extend(looks_until_the_end(&agent));
    assert_eq!(agent.ended(LIMIT).code(), Some(0), "{}", agent.said());
    days.push(Day::of(&bench, 0, &looks, &cloud));
    cloud.terminate();
    assert_eq!(cloud.ended(PATIENCE).code(), Some(0), "{}", cloud.said());
    report("one process", &days, began);

    // Told and not judged: what the allocator keeps of what was given back moves it by steps of megabytes.
    let rise = rise(&line);
    let mean = line.iter().map(|look| look.1).sum::<f64>() / line.len() as f64;
    println!(
        "heap and stacks {mean:.0} kB, and {rise:+.0} kB ({:+.2} %) over {} days, by {} looks",
        100.0 * rise / mean,
        DAYS - WARM_UP_DAYS,
        line.len()
    );
    assert_eq!(days.len(), DAYS);
    assert!(line.len() > 200, "{} looks are too few", line.len());
    flat_footprint(&days);
    match held.as_slice() {
        [] => println!("skipped: what is held of the heap, which glibc alone lets count"),
        held => flat_heap(held),
    }
    let fleet = bench.fleet();
    fleet.has_no_gap();
    assert_eq!(bench.look_into_the_spool(&mut Records::new()), 0, "the drained spool holds records");
    assert!(fleet.records.len() > 6_000, "{}", fleet.records.len());
}

/// An engineer asks and takes a snapshot, the configuration is read again, and the server is another process.
fn what_a_day_brings(bench: &Bench, agent: &Process, cloud: &mut Process) -> JoinHandle<()> {
    agent.signal("HUP");
    cloud.terminate();
    assert_eq!(cloud.ended(PATIENCE).code(), Some(0), "{}", cloud.said());
    *cloud = bench.cloud();
    // Beside the drive that goes on: an agent that waits for its standard input does not answer.
    let config = bench.path("week.toml");
    thread::spawn(move || {
        for command in ["status", "snapshot"] {
            rig::telltale_ok(&[command, "--config", rig::text(&config)]);
        }
    })
}

/// Looks again and again at an agent until it has ended.
fn looks_until_the_end(agent: &Process) -> Vec<Footprint> {
    let began = Instant::now();
    let mut looks = Vec::new();
    while let Some(look) = Footprint::of(agent.id(), SEGMENT) {
        assert!(began.elapsed() < LIMIT, "it does not end: {}", agent.said());
        looks.push(look);
        sleep(Duration::from_millis(20));
    }
    looks
}

/// Boots whose summaries account for each frame of the log, and not one more.
fn frames_of_whole_drives(records: &Records, frames: u64) -> usize {
    let mut by_boot = std::collections::BTreeMap::new();
    let frames_of = |raw: &RawRecord| match raw.parse() {
        Ok(Record::Summary(summary)) => summary.counts.frames,
        _ => 0,
    };
    for ((boot, ..), raw) in records {
        *by_boot.entry(*boot).or_insert(0) += frames_of(raw);
    }
    by_boot.values().filter(|counted| **counted == frames).count()
}

/// The second, since 1970, of the first whole line of candump text.
fn second_of(text: &[u8]) -> Option<u64> {
    let line = text.iter().position(|byte| *byte == b'\n')? + 1;
    let digits = text.get(line..)?.strip_prefix(b"(")?.iter().take_while(|byte| byte.is_ascii_digit());
    digits.map(|digit| u64::from(digit - b'0')).reduce(|number, digit| 10 * number + digit)
}

/// What is left of a day.
struct Day {
    stops: usize,
    /// In the server's database, since the first day.
    records: u64,
    database: u64,
    pss: u64,
    heap: u64,
    descriptors: u64,
    most_descriptors: u64,
    threads: u64,
    /// Bytes and files of the spool.
    spool: (u64, usize),
    server: Footprint,
}

impl Day {
    fn of(bench: &Bench, stops: usize, looks: &[Footprint], cloud: &Process) -> Day {
        Day {
            stops,
            records: bench.stored(),
            database: bench.size("", "fleet.db").0,
            pss: median(looks, |look| look.pss),
            heap: median(looks, |look| look.heap),
            descriptors: median(looks, |look| look.descriptors),
            most_descriptors: looks.iter().map(|look| look.descriptors).max().unwrap(),
            threads: median(looks, |look| look.threads),
            spool: bench.size("spool", ""),
            server: Footprint::of(cloud.id(), SEGMENT).unwrap(),
        }
    }
}

fn report(what: &str, days: &[Day], began: Instant) {
    println!(
        "{what}: {} days in {:.0} s; memory in kB, disk in kB",
        days.len(),
        began.elapsed().as_secs_f64()
    );
    println!(
        "day stops records   pss  heap  fds most threads spool files   database | server: pss  heap  fds"
    );
    for (day, it) in (1..).zip(days) {
        println!(
            "{day:3} {:5} {:7} {:5} {:5} {:4} {:4} {:7} {:5} {:5} {:10} | {:11} {:5} {:4}",
            it.stops,
            it.records,
            it.pss,
            it.heap,
            it.descriptors,
            it.most_descriptors,
            it.threads,
            it.spool.0 / 1024,
            it.spool.1,
            it.database / 1024,
            it.server.pss,
            it.server.heap,
            it.server.descriptors
        );
    }
}

/// The drained spool takes the same each day, and the database grows with its rows alone.
fn flat_disk(days: &[Day]) {
    let (second, last) = (&days[1], &days[DAYS - 1]);
    for day in &days[1..] {
        // Small state is text and may get a digit more: a count of boots.
        let is_flat = day.spool.1 == second.spool.1 && day.spool.0.abs_diff(second.spool.0) < 64;
        assert!(is_flat, "bytes and files of the drained spool: {:?}, {:?} before", day.spool, second.spool);
    }
    let a_row = |day: &Day| day.database as f64 / day.records as f64;
    assert!(
        a_row(last) < 1.25 * a_row(second),
        "{:.0} bytes a row, {:.0} before",
        a_row(last),
        a_row(second)
    );
}

/// The most bytes that an agent at rest may hold after these days.
fn expected(held: &[Held]) -> i64 {
    held.get(WARM_UP_DAYS - 1).map_or(i64::MAX, |second| second.bytes + HELD_TOLERANCE.bytes)
}

/// At the end of each day an agent at rest holds what it held at the end of the second.
fn flat_heap(held: &[Held]) {
    for (day, now) in (1..).zip(held) {
        println!("day {day}: {} bytes of the heap held at rest, in {} blocks", now.bytes, now.blocks);
    }
    assert_eq!(held.len(), DAYS);
    let second = held[WARM_UP_DAYS - 1];
    for now in &held[WARM_UP_DAYS..] {
        let bytes = now.bytes.abs_diff(second.bytes) <= HELD_TOLERANCE.bytes as u64;
        let blocks = now.blocks.abs_diff(second.blocks) <= HELD_TOLERANCE.blocks as u64;
        assert!(bytes && blocks, "{now:?} held at rest, {second:?} on the second day");
    }
}

/// The last day took what the second took, of the agent and of the server.
fn flat_footprint(days: &[Day]) {
    let (second, last) = (&days[1], &days[DAYS - 1]);
    for (what, figure) in [
        ("descriptors", (|day| day.descriptors) as fn(&Day) -> u64),
        ("threads", |day| day.threads),
        ("descriptors of the server", |day| day.server.descriptors),
    ] {
        let (before, now) = (figure(second), figure(last));
        assert!(now <= before + COMES_AND_GOES, "{now} {what}, {before} on the second day");
    }
    for day in days {
        assert!(day.most_descriptors <= second.descriptors + PASSING, "{} descriptors", day.most_descriptors);
    }
}
