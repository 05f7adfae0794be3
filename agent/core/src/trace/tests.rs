//! Lines of every dialect, hostile lines, and the real recordings where they are at hand.

use super::*;
use crate::frame::{BusId, CanId, FrameKind};
use std::path::{Path, PathBuf};

fn parse(format: Format, line: &str) -> Result<Option<(i64, String, String)>, TraceError> {
    LineParser::new(format).parse(line.as_bytes()).map(|f| f.map(shown))
}

/// Time, channel, and the frame as `kind id#data`.
fn shown(f: TraceFrame<'_>) -> (i64, String, String) {
    let data: String = f.frame.payload().iter().map(|b| format!("{b:02X}")).collect();
    (f.at_us, f.channel.to_owned(), format!("{:?} {}#{data}", f.frame.kind, f.frame.id))
}

fn ok(at: i64, channel: &str, frame: &str) -> Result<Option<(i64, String, String)>, TraceError> {
    Ok(Some((at, channel.to_owned(), frame.to_owned())))
}

#[test]
fn a_byte_is_found_where_it_first_stands() {
    let mut noise = Random(7);
    for _ in 0..20_000 {
        // Few values, and those that differ in one bit: what eight bytes at a time could mix up.
        let text: Vec<u8> = (0..noise.below(40)).map(|_| b",-\x2b\xac\x00\x01\n"[noise.below(7)]).collect();
        assert_eq!(field::find(&text, b','), text.iter().position(|byte| *byte == b','), "{text:?}");
        assert_eq!(line_end(&text), text.iter().position(|byte| *byte == b'\n'), "{text:?}");
    }
}

#[test]
fn candump_logs_are_read() {
    const T: i64 = 1_436_509_052_249_713;
    for (frame, shown) in [
        ("044#2A366C2BBA", "Classic 044#2A366C2BBA"),
        ("044#2A.36.6C", "Classic 044#2A366C"),
        ("00000044#", "Classic 00000044#"),
        ("1FFFFFFF#01 T", "Classic 1FFFFFFF#01"),
        ("123##1112233", "Fd 123#112233"),
        ("123##0", "Fd 123#"),
        ("123#R", "Remote 123#"),
        ("18FEF100#R8 R", "Remote 18FEF100#"),
        ("20000004#000C000000000000", "Error 00000004#000C000000000000"),
        ("123#1122334455667788_F", "Classic 123#1122334455667788"),
    ] {
        let line = format!("(1436509052.249713) vcan0 {frame}\r\n");
        assert_eq!(parse(Format::CandumpLog, &line), ok(T, "vcan0", shown), "{line}");
    }
    assert_eq!(parse(Format::CandumpLog, "(0.000000999) x 123#"), ok(0, "x", "Classic 123#"));
}

#[test]
fn broken_candump_lines_have_reasons() {
    use TraceError as E;
    for (line, why) in [
        ("hello", E::Unrecognised),
        ("(1.5 can0 123#", E::BadTimestamp),
        ("(-1.5) can0 123#", E::BadTimestamp),
        ("(99999999999999999999.5) can0 123#", E::BadTimestamp),
        ("(9223372036855.0) can0 123#", E::BadTimestamp),
        ("(9223372036854.775808) can0 123#", E::BadTimestamp),
        ("(1.5)", E::Missing("channel")),
        ("(1.5) a_name_longer_than_linux 123#", E::BadChannel),
        ("(1.5) can0 123", E::Missing("#")),
        ("(1.5) can0 123##", E::Missing("FD flags")),
        ("(1.5) can0 123##x", E::BadField("FD flags")),
        ("(1.5) can0 12#", E::BadId),
        ("(1.5) can0 800#", E::IdOutOfRange { id: 0x800, bits: 11 }),
        ("(1.5) can0 40000000#", E::IdOutOfRange { id: 0x4000_0000, bits: 29 }),
        ("(1.5) can0 123#1", E::BadData { index: 0 }),
        ("(1.5) can0 123#112g", E::BadData { index: 1 }),
        ("(1.5) can0 123#112233445566778899", E::TooManyBytes { len: 9 }),
        ("(1.5) can0 123#R88", E::BadLength),
        ("(1.5) can0 20000004#R", E::BadData { index: 0 }),
        ("(1.5) can0 20000004##0", E::BadField("error class")),
        ("(1.5) can0 123# X", E::BadField("direction")),
        ("(1.5) can0 123# R X", E::Trailing),
    ] {
        assert_eq!(parse(Format::CandumpLog, line), Err(why), "{line}");
    }
    let long_fd = format!("(1.5) can0 123##0{}", "00".repeat(65));
    assert_eq!(parse(Format::CandumpLog, &long_fd), Err(E::TooManyBytes { len: 65 }));
    assert_eq!(parse(Format::CandumpLog, &" ".repeat(MAX_LINE + 1)), Err(E::TooLong));
}

#[test]
fn candumps_screen_is_read_with_and_without_times() {
    let mut parser = LineParser::new(Format::Candump);
    let mut read = |line: &str| parser.parse(line.as_bytes()).map(|f| f.map(shown));
    assert_eq!(read("  vcan0  123   [3]  11 22 33"), ok(0, "vcan0", "Classic 123#112233"));
    assert_eq!(read("  vcan0  123   [0]  remote request"), ok(1_000, "vcan0", "Remote 123#"));
    assert_eq!(read("  vcan0  123  [03]  11 22 33"), ok(2_000, "vcan0", "Fd 123#112233"));
    let error = "  vcan0  20000004   [8]  00 0C 00 00 00 00 00 00   ERRORFRAME";
    assert_eq!(read(error), ok(3_000, "vcan0", "Error 00000004#000C000000000000"));
    assert_eq!(read("\tcontroller-problem{rx-error-warning}"), Ok(None));
    let ascii = "  vcan1  RX - -  00000123   [2]  41 42   'AB'";
    assert_eq!(read(ascii), ok(4_000, "vcan1", "Classic 00000123#4142"));
    assert_eq!(parser.notes().collect::<Vec<_>>(), [TraceNote::SyntheticTime]);

    let mut parser = LineParser::new(Format::Candump);
    let mut read = |line: &str| parser.parse(line.as_bytes()).map(|f| f.map(shown));
    assert_eq!(read(" (000.250000)  can0  7FF   [0]"), ok(250_000, "can0", "Classic 7FF#"));
    let dated = " (2015-07-10 06:17:32.249713)  can0  7FF   [0]";
    assert_eq!(read(dated), ok(1_436_509_052_249_713, "can0", "Classic 7FF#"));
    assert_eq!(parser.notes().collect::<Vec<_>>(), [TraceNote::DateWithoutZone]);
    let wall = parser.wall_at(1_436_509_052_249_713).unwrap();
    assert_eq!(wall.to_string(), "2015-07-10T06:17:32.249Z");
    assert_eq!(parser.wall_at(250_000), None);

    use TraceError as E;
    for (line, why) in [
        ("can0 123 [3] 11 22", E::LengthMismatch { said: 3, found: 2 }),
        ("can0 123 [1] 11 22", E::LengthMismatch { said: 1, found: 2 }),
        ("can0 123 [9] 11 22 33 44 55 66 77 88 99", E::TooManyBytes { len: 9 }),
        ("can0 123 [1] zz", E::BadData { index: 0 }),
        ("can0 123 8 11", E::BadLength),
        ("can0 123", E::Missing("length")),
        ("can0 RX Q - 123 [0]", E::BadField("bitrate switch")),
        ("(2015-13-10 06:17:32) can0 123 [0]", E::BadTimestamp),
    ] {
        assert_eq!(parse(Format::Candump, line), Err(why), "{line}");
    }
}

#[test]
fn gvret_is_read_with_both_column_sets() {
    let old = "303004300,00000450,false,0,3,00,C2,05";
    assert_eq!(parse(Format::Gvret, old), ok(303_004_300, "0", "Classic 450#00C205"));
    let new = "22213513,18FEF100,true,Rx,1,8,00,01,02,03,04,05,06,07,";
    assert_eq!(parse(Format::Gvret, new), ok(22_213_513, "1", "Classic 18FEF100#0001020304050607"));
    let set_back = "-364210,00000121,false,Rx,0,1,8F,";
    assert_eq!(parse(Format::Gvret, set_back), ok(-364_210, "0", "Classic 121#8F"));
    assert_eq!(parse(Format::Gvret, "1,1,0,0,2,1,f,,,,"), ok(1, "0", "Classic 001#010F"));
    assert_eq!(parse(Format::Gvret, "\u{feff}Time Stamp,ID,Extended,Bus,LEN,D1"), Ok(None));
    let fd = format!("5,7FF,false,Tx,0,12{}", ",AA".repeat(12));
    assert_eq!(parse(Format::Gvret, &fd), ok(5, "0", &format!("Fd 7FF#{}", "AA".repeat(12))));
    use TraceError as E;
    for (line, why) in [
        ("1", E::Unrecognised),
        ("x,450,false,0,0", E::BadTimestamp),
        ("9223372036854775808,450,false,0,0", E::BadTimestamp),
        ("1,450,false,0", E::Missing("LEN")),
        ("1,850,false,0,0", E::IdOutOfRange { id: 0x850, bits: 11 }),
        ("1,1FFFFFFFF,true,0,0", E::BadId),
        ("1,450,perhaps,0,0", E::BadField("Extended")),
        ("1,450,false,0,2,11", E::LengthMismatch { said: 2, found: 1 }),
        ("1,450,false,0,1,11,22", E::LengthMismatch { said: 1, found: 2 }),
        ("1,450,false,0,1,111", E::BadData { index: 0 }),
        ("1,450,false,0,256", E::BadLength),
    ] {
        assert_eq!(parse(Format::Gvret, line), Err(why), "{line}");
    }
    let long = format!("1,450,false,0,65{}", ",11".repeat(65));
    assert_eq!(parse(Format::Gvret, &long), Err(E::TooManyBytes { len: 65 }));
}

fn asc(lines: &[&str]) -> (Vec<(i64, String, String)>, LineParser) {
    let mut parser = LineParser::new(Format::Asc);
    let frames = lines.iter().filter_map(|l| parser.parse(l.as_bytes()).unwrap().map(shown)).collect();
    (frames, parser)
}

#[test]
fn asc_logs_are_read() {
    let (frames, parser) = asc(&[
        "date Sam Sep 30 15:06:13.191 2017",
        "base hex  timestamps absolute",
        "internal events logged",
        "// version 9.0.0",
        "Begin Triggerblock Sam Sep 30 15:06:13.191 2017",
        "   0.000000 Start of measurement",
        "   0.015991 CAN 1 Status:chip status error active",
        "   0.153600 1  594\tRx   d 8 34 21 34 21 A0 61 04 20  Length = 240000 BitCount = 124 ID = 1428",
        "   0.154110 2  18FEF100x       Tx   d 2 0A 0B",
        "   0.154115 2  100             TxRq d 2 0A 0B",
        "   0.154120 1  101             Rx   d F 1 2 3 4 5 6 7 8",
        "   0.154130 1  C9              Rx   r",
        "   0.154370 1  ErrorFrame",
        "   0.160000 1  Statistic: D 0 R 0 XD 0 XR 0 E 0 O 0 B 0.00%",
        "   0.154620 CANFD   1 Rx   300  Gen_1   1 0 9 12 01 02 03 04 05 06 07 08 09 0A 0B 0C  1 2 3000 0 0",
        "   0.154630 CANFD   2 Tx   1FFx  0 0 8 8 01 02 03 04 05 06 07 08  1 2 200000 0 0",
        "   0.154640 CANFD   2 Rx   1FF  0 0 8 0  1 2 200010 0 0",
        "   0.154650 CANFD   2 Rx   ErrorFrame",
        "End TriggerBlock",
    ]);
    let expected = [
        (153_600, "1", "Classic 594#34213421A0610420"),
        (154_110, "2", "Classic 18FEF100#0A0B"),
        (154_120, "1", "Classic 101#0102030405060708"),
        (154_130, "1", "Remote 0C9#"),
        (154_370, "1", "Error 00000080#"),
        (154_620, "1", "Fd 300#0102030405060708090A0B0C"),
        (154_630, "2", "Classic 000001FF#0102030405060708"),
        (154_640, "2", "Remote 1FF#"),
        (154_650, "2", "Error 00000080#"),
    ];
    assert_eq!(frames, expected.map(|(at, ch, f)| (at, ch.to_owned(), f.to_owned())));
    assert_eq!(parser.notes().collect::<Vec<_>>(), [TraceNote::DateWithoutZone, TraceNote::OtherEvents]);
    let wall = parser.wall_at(1_000_000).unwrap();
    assert_eq!(wall.to_string(), "2017-09-30T15:06:14.191Z");
}

#[test]
fn asc_bases_and_relative_times_are_obeyed() {
    let (frames, parser) = asc(&[
        "date 03/04/2017 10:00:00",
        "base dec  timestamps relative",
        "1.000000 1  2047 Rx d 2 255 16",
        "0.500000 SV: 1 0 1",
        "0.250000 1  536870911x Rx d 0",
    ]);
    assert_eq!(frames[0], (1_000_000, "1".into(), "Classic 7FF#FF10".into()));
    assert_eq!(frames[1], (1_750_000, "1".into(), "Classic 1FFFFFFF#".into()));
    assert_eq!(parser.notes().collect::<Vec<_>>(), [TraceNote::DateUnreadable, TraceNote::OtherEvents]);
    assert_eq!(parser.wall_at(0), None);
}

#[test]
fn broken_asc_lines_have_reasons() {
    use TraceError as E;
    for (line, why) in [
        ("nonsense", E::Unrecognised),
        ("base oct", E::BadField("base")),
        ("1.0.0 1 594 Rx d 0", E::BadTimestamp),
        ("0.1", E::Missing("channel")),
        ("0.1 \u{1} 594 Rx d 0", E::Unrecognised),
        ("0.1 1 zz Rx d 0", E::BadId),
        ("0.1 1 594", E::Missing("direction")),
        ("0.1 1 800 Rx d 0", E::IdOutOfRange { id: 0x800, bits: 11 }),
        ("0.1 1 594 Up d 0", E::BadField("direction")),
        ("0.1 1 594 Rx q 0", E::BadField("frame type")),
        ("0.1 1 594 Rx d 10", E::BadLength),
        ("0.1 1 594 Rx d 2 11", E::LengthMismatch { said: 2, found: 1 }),
        ("0.1 1 594 Rx d 1 11 22", E::LengthMismatch { said: 1, found: 2 }),
        ("0.1 1 594 Rx d 1 1FF", E::BadData { index: 0 }),
        ("0.1 CANFD 1 Rx 300 1 0 9 13 1 2 3 4 5 6 7 8 9 A B C D", E::LengthMismatch { said: 12, found: 13 }),
        ("0.1 CANFD 1 Rx 300 1 0 9 65", E::BadLength),
        ("0.1 CANFD 1 Rx 300 1 7 9 12", E::BadField("bitrate switch or error state")),
    ] {
        assert_eq!(parse(Format::Asc, line), Err(why), "{line}");
    }
}

#[test]
fn the_format_shows_in_the_first_lines() {
    let sniff = |text: &str| Format::sniff(text.as_bytes());
    assert_eq!(sniff("(1.5) can0 123#11\n"), Some(Format::CandumpLog));
    assert_eq!(sniff("\n  can0  123   [1]  11\n"), Some(Format::Candump));
    assert_eq!(sniff("\u{feff}Time Stamp,ID,Extended,Bus,LEN,D1\n"), Some(Format::Gvret));
    assert_eq!(sniff("1,450,false,0,1,11\n"), Some(Format::Gvret));
    assert_eq!(sniff("date Thu, 09 Nov 2023 20:36:33 GMT\nbase hex\n"), Some(Format::Asc));
    assert_eq!(sniff("// a remark\n0.1 1 594 Rx d 0\n"), Some(Format::Asc));
    assert_eq!(sniff("junk\n\0\u{7f}\n(1.5) can0 123#11"), Some(Format::CandumpLog));
    assert_eq!(sniff("a,b,c\n1,2,3\n"), None);
    assert_eq!(sniff(""), None);
    for format in Format::ALL {
        assert_eq!(format.as_str().parse(), Ok(format));
    }
    assert_eq!("blf".parse::<Format>(), Err(UnknownFormat));
}

#[test]
fn what_is_written_reads_back_the_same() {
    let mut random = Random(7);
    let mut parser = LineParser::new(Format::CandumpLog);
    for _ in 0..20_000 {
        let frame = random.frame();
        let wall = WallTime::from_unix_micros(frame.at.as_micros() as i64);
        let mut line = String::new();
        write_candump_log(&mut line, &frame, "can_of_15_chars", wall).unwrap();
        assert!(line.len() <= MAX_CANDUMP_LINE, "{line}");
        let back = parser.parse(line.as_bytes()).unwrap().unwrap();
        assert_eq!((back.channel, back.at_us), ("can_of_15_chars", wall.as_unix_micros()), "{line}");
        assert_eq!(back.into_frame(frame.at, frame.bus), frame, "{line}");
        assert_eq!(Format::sniff(line.as_bytes()), Some(Format::CandumpLog));
    }
}

#[test]
fn mutated_lines_never_panic_and_never_exceed_a_frame() {
    const SEEDS: [&str; 9] = [
        "(1436509052.249713) vcan0 044#2A366C2BBA",
        "(1436509052.249713) vcan0 18FEF100##12A366C2BBA",
        "  vcan0  123   [8]  11 22 33 44 55 66 77 88",
        " (2015-07-10 06:17:32.249713)  can0  7FF  [12]  00 01 02 03 04 05 06 07 08 09 0A 0B",
        "22213513,18FEF100,true,Rx,1,8,00,01,02,03,04,05,06,07,",
        "date Sam Sep 30 15:06:13.191 pm 2017 +0200",
        "base hex  timestamps relative",
        "   0.153600 1  594\tRx   d 8 34 21 34 21 A0 61 04 20  Length = 240000",
        "   0.154620 CANFD   1 Rx   300  Gen_1   1 0 9 12 01 02 03 04 05 06 07 08 09 0A 0B 0C  1 2 3000",
    ];
    let mut random = Random(1);
    let mut parsers = Format::ALL.map(LineParser::new);
    let (mut frames, mut refused) = (0_u64, 0_u64);
    for round in 0..60_000 {
        let mut line = SEEDS[round % SEEDS.len()].as_bytes().to_vec();
        for _ in 0..random.below(4) {
            random.mutate(&mut line);
        }
        let _ = Format::sniff(&line);
        for parser in &mut parsers {
            match parser.parse(&line) {
                Ok(Some(f)) => {
                    assert!(f.frame.len() <= 64);
                    assert!((1..=MAX_CHANNEL).contains(&f.channel.len()));
                    let _ = parser.wall_at(f.at_us);
                    frames += 1;
                }
                Ok(None) => {}
                Err(_) => refused += 1,
            }
        }
    }
    assert!(frames > 10_000 && refused > 10_000, "{frames} frames, {refused} refused");
}

#[test]
fn the_recordings_parse_without_a_malformed_line() {
    let Some(kona) = recordings().map(|d| d.join("kona_ev_can")).filter(|d| d.is_dir()) else {
        println!("skipped: no recordings (set TELLTALE_DATA)");
        return;
    };
    let logs: Vec<PathBuf> = [kona.clone(), kona.join("bms_diagnostics")]
        .iter()
        .flat_map(|dir| std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()))
        .filter(|p| p.extension().is_some_and(|e| e == "csv" || e == "asc"))
        .collect();
    assert!(logs.len() >= 15, "{logs:?}");
    for log in logs {
        let (bytes, name) = (std::fs::read(&log).unwrap(), log.display());
        let is_csv = log.extension().is_some_and(|e| e == "csv");
        let format = Format::sniff(&bytes).unwrap_or_else(|| panic!("{name}: format"));
        assert_eq!(format, if is_csv { Format::Gvret } else { Format::Asc }, "{name}");
        let mut parser = LineParser::new(format);
        let (mut lines, mut frames) = (0, 0);
        for (number, line) in bytes.split(|&b| b == b'\n').enumerate().filter(|(_, l)| !l.is_empty()) {
            lines += 1;
            let frame = parser.parse(line).unwrap_or_else(|e| panic!("{name}:{}: {e}", number + 1));
            frames += usize::from(frame.is_some());
        }
        // One line names the columns of a CSV; an ASC has a date, a base and the bounds of its block.
        assert_eq!(lines - frames, if is_csv { 1 } else { 4 }, "{name}");
        assert_eq!(parser.wall_at(0).is_some(), !is_csv, "{name}");
    }
}

fn recordings() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    std::env::var_os("TELLTALE_DATA").map(PathBuf::from).or(Some(beside)).filter(|d| d.is_dir())
}

/// xorshift64*: the same lines every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 33) as usize % limit
    }

    fn mutate(&mut self, line: &mut Vec<u8>) {
        const NASTY: &[u8] = b"#(),.[]RxT-+:0F9\t \0\x80\xFF\n";
        let at = self.below(line.len() + 1);
        match self.below(5) {
            0 => line.insert(at, self.next() as u8),
            1 => line.insert(at, NASTY[self.below(NASTY.len())]),
            2 => line.truncate(at),
            3 if at < line.len() => line[at] = NASTY[self.below(NASTY.len())],
            _ => {
                let tail = line[at..].to_vec();
                line.extend_from_slice(&tail);
            }
        }
    }

    fn frame(&mut self) -> CanFrame {
        let kind = [FrameKind::Classic, FrameKind::Fd, FrameKind::Remote, FrameKind::Error][self.below(4)];
        let longest = match kind {
            FrameKind::Fd => 64,
            FrameKind::Remote => 0,
            FrameKind::Classic | FrameKind::Error => 8,
        };
        let data: Vec<u8> = (0..self.below(longest + 1)).map(|_| self.next() as u8).collect();
        let raw = self.next() as u32 & CanId::MAX_EXTENDED;
        let id = match kind {
            FrameKind::Error => CanId::Extended(raw),
            _ if self.below(2) == 0 => CanId::Standard((raw & CanId::MAX_STANDARD) as u16),
            _ => CanId::Extended(raw),
        };
        let at = MonoTime(self.next() % 4_000_000_000_000_000);
        CanFrame::new(at, BusId::UNMAPPED, id, kind, &data).unwrap()
    }
}
