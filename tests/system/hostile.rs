//! Everything from outside is hostile: logs, DBC files, catalogs, models, configurations, certificates. Each gets a
//! clear error that names the file and what to do, never a panic, and what was accepted before it is kept.

use crate::rig;
use std::fs;
use std::path::{Path, PathBuf};

const DBC: &str = "VERSION \"\"\nBS_:\nBU_: BMS\nBO_ 256 Pack: 8 BMS\n SG_ Current : 0|16@1- (0.1,0) [-500|500] \"A\" XXX\n";

const CATALOG: &str = "schema = 1\n[[bus]]\nname = \"bms\"\ninterface = \"can0\"\ndbc = [\"bms.dbc\"]\n\
    [[signal]]\nvss = \"Vehicle.Current\"\nbus = \"bms\"\nsignal = \"Current\"\n";

struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let bench = Bench { folder: tempfile::tempdir().unwrap() };
        bench.write("bms.dbc", DBC);
        bench.write("catalog.toml", CATALOG);
        bench.write("drive.log", "(1700000000.000000) can0 100#6400000000000000\n");
        bench
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn replay_fails(&self) -> String {
        let (catalog, log) = (self.path("catalog.toml"), self.path("drive.log"));
        rig::telltale_fails(&["replay", "--catalog", rig::text(&catalog), rig::text(&log), "--json"])
    }
}

fn says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "the message does not say {part:?}:\n{message}");
    }
}

/// Noise that is the same in every run.
fn noise(len: usize) -> Vec<u8> {
    let mut x = 0x9E37_79B9_u32;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        (x >> 8) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn a_sound_bench_replays() {
    let bench = Bench::new();
    let report = rig::replay(&bench.path("catalog.toml"), &bench.path("drive.log"));
    assert_eq!((report["frames"].as_u64(), report["samples"].as_u64()), (Some(1), Some(1)));
}

#[test]
fn catalogs_are_refused_with_file_line_and_hint() {
    for (catalog, expected) in [
        (CATALOG.replace("\"Current\"", "\"Curent\""), &["catalog.toml:", "Curent", "Current"] as &[_]),
        (CATALOG.replace("schema = 1", "schema = 7"), &["catalog.toml", "schema"]),
        (CATALOG.replace("bms.dbc", "gone.dbc"), &["gone.dbc"]),
        (CATALOG.replace("bus = \"bms\"", "bus = \"bsm\""), &["catalog.toml:", "bsm"]),
        ("[[bus".into(), &["catalog.toml"]),
        (String::new(), &["catalog.toml"]),
    ] {
        let bench = Bench::new();
        bench.write("catalog.toml", catalog);
        says(&bench.replay_fails(), expected);
    }
    let bench = Bench::new();
    bench.write("catalog.toml", noise(4_096));
    says(&bench.replay_fails(), &["catalog.toml", "UTF-8"]);
    fs::remove_file(bench.path("catalog.toml")).unwrap();
    says(&bench.replay_fails(), &["can't open", "catalog.toml"]);
}

#[test]
fn a_dbc_file_of_noise_is_refused() {
    let bench = Bench::new();
    let dbc = bench.write("bms.dbc", noise(4_096));
    says(&rig::telltale_fails(&["dbc", "check", rig::text(&dbc)]), &["could not be loaded"]);
    says(&bench.replay_fails(), &["bms.dbc"]);
}

#[test]
fn a_log_of_noise_is_refused_and_a_few_bad_lines_are_counted() {
    let bench = Bench::new();
    bench.write("drive.log", noise(4_096));
    says(&bench.replay_fails(), &["drive.log", "format"]);

    let good = "(1700000000.000000) can0 100#6400000000000000\n";
    bench.write(
        "drive.log",
        format!("{good}(17000000zz) can0 100#64\n{good}(1700000000.2) can0 100#6\n{good}"),
    );
    let report = rig::replay(&bench.path("catalog.toml"), &bench.path("drive.log"));
    assert_eq!((report["frames"].as_u64(), report["bad_lines"].as_u64()), (Some(3), Some(2)), "{report}");
}

/// Copies the shipped model to a folder, to be damaged there.
fn model_copy(folder: &Path) -> PathBuf {
    let model = folder.join("model");
    fs::create_dir(&model).unwrap();
    for entry in fs::read_dir(rig::cell_fault()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
        }
    }
    model
}

#[test]
fn models_are_refused_with_their_reason() {
    let damage = |file: &str, change: &dyn Fn(Vec<u8>) -> Vec<u8>| {
        let bench = Bench::new();
        let model = model_copy(bench.folder.path());
        let path = model.join(file);
        fs::write(&path, change(fs::read(&path).unwrap())).unwrap();
        let catalog = model.join("catalog-sim.toml");
        let log = bench.path("drive.log");
        rig::telltale_fails(&["replay", "--catalog", rig::text(&catalog), rig::text(&log)])
    };
    let manifest = fs::read_to_string(rig::cell_fault().join("model.toml")).unwrap();
    let onnx = manifest.lines().find_map(|l| l.strip_prefix("onnx = ")).unwrap().trim_matches('"').to_owned();
    says(&damage(&onnx, &|b| b[..b.len() / 2].to_vec()), &[&onnx]);
    says(&damage(&onnx, &|_| noise(2_000)), &[&onnx]);
    says(&damage("features.toml", &|b| [b, b"\n# touched\n".to_vec()].concat()), &["trained on", "features"]);
    says(&damage("model.toml", &|_| b"schema = 1\n".to_vec()), &["model.toml", "missing field"]);
}

#[test]
fn usage_errors_exit_with_2() {
    for args in [&["replay"] as &[_], &["nonsense"], &["replay", "--pace", "warp", "x.log"]] {
        assert_eq!(rig::telltale(args).status.code(), Some(2), "{args:?}");
    }
}

#[test]
fn a_configuration_is_checked_before_anything_starts() {
    let bench = Bench::new();
    let config = |text: String| {
        let path = bench.write("telltale.toml", text);
        rig::telltale_fails(&["run", "--config", rig::text(&path)])
    };
    let base = "vehicle = \"v1\"\ncatalog = \"catalog.toml\"\nsource = { log = { path = \"drive.log\" } }\n";
    says(&config(format!("{base}spol = 1\n")), &["telltale.toml", "spol"]);
    let uplink =
        "[uplink]\nurl = \"https://127.0.0.1:1\"\nca = \"ca.pem\"\ncert = \"v.pem\"\nkey = \"v.key\"\n";
    let with_uplink = format!("{base}spool = {{ dir = \"spool\" }}\n{uplink}");
    says(&config(with_uplink.clone()), &["ca.pem"]);
    bench.write("ca.pem", noise(300));
    says(&config(with_uplink), &["ca.pem"]);
}
