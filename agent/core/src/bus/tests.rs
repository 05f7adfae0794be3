//! The monitor from frames and link news to records.

use super::*;
use crate::catalog::Catalog;
use crate::dbc::Found;
use crate::frame::{BusId, CanFrame, CanId, FrameKind};
use std::collections::VecDeque;
use std::time::Duration;
use telltale_wire::bus::{
    BusChange, BusRecord, BusReport, BusState, BusStatistics, ErrorCounters, InterfaceCounters,
};
use telltale_wire::record::Record;
use telltale_wire::time::MonoTime;

const S: u64 = 1_000_000;
const DBC: &str = "BS_:\nBO_ 256 Cells: 8 BMS\n SG_ C1 : 0|16@1+ (1,0) [0|0] \"\" X\n\
    BO_ 257 Wide: 10 BMS\n SG_ W1 : 0|16@1+ (1,0) [0|0] \"\" X\n\
    BO_ 258 Rare: 8 BMS\n SG_ R1 : 0|16@1+ (1,0) [0|0] \"\" X\n\
    BA_ \"GenMsgCycleTime\" BO_ 256 100;\n";
const CATALOG: &str = "schema = 1\n[[bus]]\nname = \"drive\"\ninterface = \"can0\"\ndbc = [\"d.dbc\"]\n\
    [[bus]]\nname = \"body\"\ninterface = \"can1\"\ndbc = [\"d.dbc\"]\n\
    [[signal]]\nvss = \"A.C\"\nbus = \"drive\"\nsignal = \"C1\"\n\
    [[signal]]\nvss = \"A.W\"\nbus = \"drive\"\nsignal = \"W1\"\nstale_ms = 4000\n\
    [[signal]]\nvss = \"A.R\"\nbus = \"drive\"\nsignal = \"R1\"\nstale_ms = 60000\n\
    [[message]]\nbus = \"drive\"\nid = 256\nchecksum = { algorithm = \"sum\", at = \"56|8@1\" }\n";

struct Bench {
    decoder: crate::dbc::Decoder,
    monitor: Monitor,
    latest: MonoTime,
    out: VecDeque<Record>,
}

impl Bench {
    fn new() -> Bench {
        let catalog = Catalog::parse(CATALOG, "c", &mut |_| Ok(DBC.into())).unwrap();
        let decoder = catalog.decoder();
        let monitor = Monitor::new(&catalog, &decoder, Duration::from_secs(60));
        Bench { decoder, monitor, latest: MonoTime(0), out: VecDeque::with_capacity(64) }
    }

    /// As the pipeline does it; gives whether the frame was whole.
    fn frame(&mut self, at: u64, bus: u8, id: CanId, kind: FrameKind, payload: &[u8]) -> bool {
        let frame = CanFrame::new(MonoTime(at), BusId(bus), id, kind, payload).unwrap();
        self.latest = frame.at;
        match self.decoder.find(&frame) {
            Found::Message(message) => return self.monitor.saw_message(message, &frame, &mut self.out),
            Found::Filtered => self.monitor.saw(&frame, &mut self.out),
            Found::Unknown => self.monitor.saw_unknown(&frame, &mut self.out),
            Found::Malformed => self.monitor.was_malformed(&frame, &mut self.out),
        }
        true
    }

    fn data(&mut self, at: u64, bus: u8, id: u16) -> bool {
        self.frame(at, bus, CanId::Standard(id), FrameKind::Classic, &[0; 8])
    }

    fn error(&mut self, at: u64, classes: u32, data: &[u8]) {
        self.frame(at, 0, CanId::Extended(classes), FrameKind::Error, data);
    }

    fn link(&mut self, at: u64, event: LinkEvent) {
        self.monitor.handle_link(&LinkNews { at: MonoTime(at), bus: BusId(0), event }, &mut self.out);
    }

    fn records(&mut self) -> Vec<BusRecord> {
        let bus = |record| match record {
            Record::Bus(record) => record,
            other => panic!("{other:?}"),
        };
        self.out.drain(..).map(bus).collect()
    }

    /// The changes told of the first bus, as `state: why`.
    fn changes(&mut self) -> Vec<String> {
        let told = |record: BusRecord| match record.report {
            BusReport::Change(BusChange { why, .. }) => Some(format!("{}: {why}", record.state)),
            BusReport::Statistics(_) => None,
        };
        self.records().into_iter().filter_map(told).collect()
    }

    fn statistics(&mut self) -> Vec<BusStatistics> {
        let told = |record: BusRecord| match record.report {
            BusReport::Change(_) => None,
            BusReport::Statistics(statistics) => Some(statistics),
        };
        self.records().into_iter().filter_map(told).collect()
    }
}

#[test]
fn a_log_with_error_frames_tells_the_states_of_its_bus() {
    let mut bench = Bench::new();
    bench.data(S, 0, 256);
    bench.error(2 * S, 0x204, &[0, 0x08, 0, 0, 0, 0, 96, 0]);
    bench.error(3 * S, 0x088, &[0, 0, 4, 8, 0, 0, 0, 0]);
    bench.error(4 * S, 0x040, &[0; 8]);
    bench.error(4 * S, 0x040, &[0; 8]);
    bench.error(5 * S, 0x100, &[0; 8]);
    bench.error(6 * S, 0x040, &[0; 8]);
    bench.data(7 * S, 0, 256);
    let told = [
        "active: frames are heard",
        "error warning: error warning (sending); tx errors 96, rx errors 0",
        "bus-off: bus-off",
        "active: controller restarted",
        "bus-off: bus-off",
        "active: frames are heard",
    ];
    assert_eq!(bench.changes(), told);
    bench.monitor.finish(bench.latest, &mut bench.out);
    let statistics = bench.statistics();
    let drive = &statistics[0];
    assert_eq!((drive.frames, drive.errors.frames, drive.errors.off, drive.errors.protocol), (2, 6, 3, 1));
    assert_eq!(drive.counters, Some(ErrorCounters { tx: 96, rx: 0 }));
    assert_eq!(drive.last_error.as_ref().unwrap().what, "bus-off");
    assert_eq!(
        (statistics[1].frames, bench.monitor.buses().nth(1).map(|bus| bus.state)),
        (0, Some(BusState::Unknown))
    );
}

#[test]
fn where_the_kernel_tells_of_the_interface_frames_decide_nothing() {
    let mut bench = Bench::new();
    bench.link(S, LinkEvent::Absent(Absence::NeverSeen));
    bench.link(2 * S, LinkEvent::Down);
    bench.link(3 * S, LinkEvent::Up);
    bench.data(3 * S, 0, 256);
    bench.link(4 * S, LinkEvent::Controller { state: BusState::Off, counters: None });
    bench.data(4 * S, 0, 256);
    bench.link(5 * S, LinkEvent::Restarting);
    bench.link(5 * S, LinkEvent::Counted(InterfaceCounters { received: 9, ..Default::default() }));
    bench.link(6 * S, LinkEvent::Controller { state: BusState::Active, counters: None });
    bench.link(7 * S, LinkEvent::Absent(Absence::Removed));
    bench.data(7 * S, 0, 256);
    bench.link(8 * S, LinkEvent::Up);
    // Before it goes it is told to be down, with its counters. So late that both may be told.
    bench.link(40 * S, LinkEvent::Down);
    bench.link(40 * S, LinkEvent::Counted(InterfaceCounters { received: 9, ..Default::default() }));
    bench.link(40 * S, LinkEvent::Absent(Absence::Renamed));
    let told = [
        "interface absent: there is no interface can0 yet",
        "interface down: interface can0 is down",
        "active: interface can0 is up",
        "bus-off: the controller of can0 is bus-off",
        "active: the controller of can0 is active",
        "interface absent: interface can0 was removed",
        "active: interface can0 is up",
        "interface down: interface can0 is down",
        "interface absent: interface can0 was given another name",
    ];
    assert_eq!(bench.changes(), told);
    bench.monitor.finish(bench.latest, &mut bench.out);
    let drive = &bench.statistics()[0];
    assert_eq!((drive.frames, drive.restarts_asked, drive.link_losses, drive.interface), (3, 1, 2, None));
}

#[test]
fn what_is_odd_on_a_bus_is_counted_and_the_frequent_unknown_named() {
    let mut bench = Bench::new();
    let standard = CanId::Standard;
    for n in 0..30 {
        bench.data(n * S, 0, 0x7F0);
    }
    bench.frame(30 * S, 0, CanId::Extended(256), FrameKind::Classic, &[]);
    bench.frame(30 * S, 0, standard(256), FrameKind::Remote, &[]);
    // Ten bytes travel as twelve.
    assert!(bench.frame(31 * S, 0, standard(257), FrameKind::Fd, &[0; 12]));
    assert!(bench.frame(31 * S, 0, standard(257), FrameKind::Fd, &[0; 16]));
    assert!(bench.frame(31 * S, 0, standard(256), FrameKind::Fd, &[0; 12]));
    assert!(!bench.frame(32 * S, 0, standard(256), FrameKind::Classic, &[1, 0, 0, 0, 0, 0, 0, 2]));
    assert!(bench.frame(33 * S, 0, standard(256), FrameKind::Classic, &[1, 0, 0, 0, 0, 0, 0, 1]));
    bench.data(62 * S, 1, 256);
    let statistics = bench.statistics();
    let [drive, body] = &statistics[..] else { panic!("{statistics:?}") };
    assert_eq!((drive.frames, drive.frames_stretch, drive.unknown_frames), (37, 37, 31));
    assert_eq!((drive.remote, drive.long, drive.stretch_us), (1, 2, 62 * S));
    let named: Vec<_> = drive.unknown.iter().map(|u| (u.id, u.extended, u.count)).collect();
    assert_eq!(named, [(0x7F0, false, 30), (256, true, 1)]);
    assert_eq!((drive.checked, drive.suspicious.len()), (3, 1));
    let cells = &drive.suspicious[0];
    assert_eq!((cells.message.as_str(), cells.ok, cells.wrong_checksum), ("Cells", 2, 1));
    assert_eq!((body.frames, body.checked), (1, 0), "the frame that turned the time");
    bench.data(63 * S, 0, 0x7F0);
    bench.monitor.finish(bench.latest, &mut bench.out);
    let drive = &bench.statistics()[0];
    assert_eq!((drive.frames, drive.frames_stretch, drive.stretch_us), (38, 1, S));
    assert_eq!(drive.unknown[0].count, 1, "what is named is of the stretch");
}

#[test]
fn messages_that_stay_away_are_missing_by_their_cycle_or_their_staleness() {
    let mut bench = Bench::new();
    bench.data(0, 0, 256);
    bench.data(59 * S, 0, 257);
    bench.data(60 * S, 0, 0x7F0);
    let drive = bench.statistics().remove(0);
    // `Cells` has a cycle of 100 ms; `Wide` came in time; `Rare` is given 60 s.
    assert_eq!(drive.missing_total, 1);
    let missing = &drive.missing[0];
    assert_eq!(
        (missing.message.as_str(), missing.silent_ms, missing.cycle_ms),
        ("Cells", Some(60_000), Some(100))
    );
    bench.data(120 * S, 0, 0x7F0);
    let missing = bench.statistics().remove(0).missing;
    let named: Vec<_> = missing.iter().map(|m| (m.message.as_str(), m.silent_ms)).collect();
    assert_eq!(named, [("Rare", None), ("Cells", Some(120_000)), ("Wide", Some(61_000))]);
}

#[test]
fn what_flaps_is_told_within_bounds_and_caught_up_with() {
    let mut bench = Bench::new();
    for n in 0..1_000 {
        let state = if n % 2 == 0 { BusState::Warning } else { BusState::Passive };
        bench.link(n * 1_000, LinkEvent::Up);
        bench.link(n * 1_000, LinkEvent::Controller { state, counters: None });
    }
    let told = bench.records();
    assert_eq!(told.len(), 8);
    let due = bench.monitor.poll_timeout().unwrap();
    assert!(due <= MonoTime(31 * S));
    bench.monitor.handle_timeout(due, &mut bench.out);
    let late = bench.records();
    let BusReport::Change(change) = &late[0].report else { panic!("{late:?}") };
    // 1,001 changes: the interface came up, and a thousand turns.
    assert_eq!((late[0].state, change.suppressed), (BusState::Passive, 1_001 - 8 - 1));
    assert_eq!(bench.monitor.poll_timeout(), Some(MonoTime(60 * S)));
}

#[test]
fn an_endless_flood_of_errors_and_unknown_frames_allocates_nothing() {
    let mut bench = Bench::new();
    bench.data(0, 0, 256);
    bench.error(0, 0x088, &[0, 0, 4, 8, 0, 0, 0, 0]);
    bench.records();
    let run = allocation_counter::measure(|| {
        for n in 0..50_000_u64 {
            bench.error(n, 0x088, &[0, 0, 4, 8, 0, 0, 0, 0]);
            bench.frame(n, 0, CanId::Extended(n as u32), FrameKind::Classic, &[]);
            bench.frame(n, 0, CanId::Standard(256), FrameKind::Classic, &[1; 8]);
        }
    });
    assert_eq!(run.count_total, 0, "{run:?}");
}
