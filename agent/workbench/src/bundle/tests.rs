//! Bundles of the model that ships, and what of a larger one a vehicle fetches after a small change.

use super::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use telltale_seal::ContentKey;
use telltale_wire::bundle::{AgentVersion, Budget, PartKind};
use telltale_wire::digest::Digest;
use telltale_wire::unit::Unit;

fn cell_fault() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/cell-fault")
}

fn options(release: u32) -> Options {
    Options {
        family: None,
        release,
        hardware: vec!["bench-b".parse().unwrap(), "bench-a".parse().unwrap(), "bench-b".parse().unwrap()],
        min_agent: AgentVersion { major: 0, minor: 1, patch: 0 },
        budget: Budget { latency_us: 5_000, memory_bytes: 1 << 20 },
        golden_tolerance: 0,
        author: Some("a test".into()),
        data: vec![],
        content_key: None,
        examine: |_| Ok(()),
    }
}

/// A copy of the model's folder, to be changed.
fn copied(to: &Path) -> PathBuf {
    let folder = to.join("cell-fault");
    fs::create_dir_all(&folder).unwrap();
    for name in provenance::files_of(&cell_fault()).unwrap() {
        fs::copy(cell_fault().join(&name), folder.join(&name)).unwrap();
    }
    // The environment that all models share lies beside them.
    fs::copy(cell_fault().join("../requirements.txt"), to.join("requirements.txt")).unwrap();
    folder
}

fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

fn index_of(folder: &Path, release: u32) -> PathBuf {
    folder.join(format!("index/cell-fault/cell-fault-{release}.index"))
}

#[test]
fn two_builds_are_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    build(&cell_fault(), &a, &options(1)).unwrap();
    // From another place, with other times of its files.
    build(&copied(dir.path()), &b, &options(1)).unwrap();
    let (a, b) = (tree(&a), tree(&b));
    assert!(a.len() > 10 && a == b);
}

#[test]
fn the_bundle_binds_what_the_folder_says() {
    let dir = tempfile::tempdir().unwrap();
    let built = build(&cell_fault(), dir.path(), &options(3)).unwrap();
    let bundle = Bundle::open(&index_of(dir.path(), 3)).unwrap();
    bundle.verify(None).unwrap();
    assert_eq!((&bundle.index, bundle.digest), (&built.index, Digest::of(&built.bytes)));
    let index = &bundle.index;
    assert_eq!((index.name.as_str(), index.version.as_str(), index.release), ("cell-fault", "1.1.0", 3));
    assert_eq!(index.hardware.iter().map(ToString::to_string).collect::<Vec<_>>(), ["bench-a", "bench-b"]);
    let needs: Vec<(&str, Unit)> = index.needs.iter().map(|need| (need.vss.as_str(), need.unit)).collect();
    let battery = "Vehicle.Powertrain.TractionBattery";
    assert!(needs.contains(&(&format!("{battery}.Cell{{n}}.Voltage"), Unit::Volt)), "{needs:?}");
    assert!(needs.contains(&(&format!("{battery}.CurrentCurrent"), Unit::Ampere)), "{needs:?}");
    for (kind, name) in [
        (PartKind::Model, "cell-fault.int8.onnx"),
        (PartKind::Manifest, "model.toml"),
        (PartKind::Features, "features.toml"),
        (PartKind::Golden, "golden.toml"),
        (PartKind::Card, "CARD.md"),
    ] {
        assert_eq!(
            bundle.part(kind, None).unwrap().unwrap(),
            fs::read(cell_fault().join(name)).unwrap(),
            "{name}"
        );
    }
    let json = |kind| {
        serde_json::from_slice::<serde_json::Value>(&bundle.part(kind, None).unwrap().unwrap()).unwrap()
    };
    let (provenance, sbom) = (json(PartKind::Provenance), json(PartKind::Sbom));
    let recipe = Digest::of(&fs::read(cell_fault().join("recipe.toml")).unwrap()).to_hex();
    assert_eq!(provenance["recipe_sha256"], recipe);
    let sources: Vec<_> = provenance["sources"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert!(sources.iter().any(|name| *name == "train.py"), "{sources:?}");
    assert_eq!(sbom["bomFormat"], "CycloneDX");
    let purls: Vec<_> =
        sbom["components"].as_array().unwrap().iter().filter_map(|it| it["purl"].as_str()).collect();
    assert!(purls.contains(&"pkg:pypi/onnxruntime@1.31.1"), "{purls:?}");
}

#[test]
fn a_release_is_not_built_twice_with_other_content() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let folder = copied(dir.path());
    build(&folder, &out, &options(1)).unwrap();
    assert_eq!(build(&folder, &out, &options(1)).unwrap().new_chunks, 0);
    fs::write(folder.join("CARD.md"), "another card").unwrap();
    assert!(matches!(build(&folder, &out, &options(1)), Err(BuildError::ReleaseTaken(_))));
    assert!(build(&folder, &out, &options(2)).unwrap().new_chunks > 0);
}

/// An error with all that lies behind it, as a person is told it.
fn whole(error: &BuildError) -> String {
    let chain = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[test]
fn each_fault_of_a_folder_is_named() {
    let change = |name: &str, from: &str, to: &str| {
        let dir = tempfile::tempdir().unwrap();
        let folder = copied(dir.path());
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert!(text.contains(from), "{from}");
        fs::write(folder.join(name), text.replace(from, to)).unwrap();
        whole(&build(&folder, &dir.path().join("out"), &options(1)).unwrap_err())
    };
    for (name, from, to, expected) in [
        ("features.toml", "scale = 0.010", "scale = 0.011", "train it again"),
        ("model.toml", "\"cell-fault\"", "\"Cell Fault\"", "cannot name a bundle"),
        ("model.toml", "cell-fault.int8.onnx", "gone.onnx", "cannot read"),
        ("golden.toml", "[[vector]]", "[[other]]", "no golden vector"),
        ("catalog-car2.toml", "unit = \"A\"", "unit = \"V\"", "say V and A"),
        ("model.toml", "version = \"1.1.0\"", "version = \"\"", "0 letters of the version"),
    ] {
        let error = change(name, from, to);
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn a_chunk_that_was_cut_or_is_gone_is_found() {
    let dir = tempfile::tempdir().unwrap();
    build(&cell_fault(), dir.path(), &options(1)).unwrap();
    let bundle = Bundle::open(&index_of(dir.path(), 1)).unwrap();
    let path = dir.path().join("chunk").join(bundle.index.chunks[4].to_hex());
    let good = fs::read(&path).unwrap();
    fs::write(&path, &good[..good.len() - 1]).unwrap();
    assert!(whole(&bundle.verify(None).unwrap_err()).contains("cut or padded"));
    fs::remove_file(&path).unwrap();
    assert!(matches!(bundle.verify(None), Err(BuildError::Io { .. })));
    // Building again heals the folder.
    assert_eq!(build(&cell_fault(), dir.path(), &options(1)).unwrap().new_chunks, 1);
    bundle.verify(None).unwrap();
}

/// xorshift64*: weights that do not compress and repeat from run to run.
struct Draws(u64);

impl Draws {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }
}

/// A model of `length` bytes of weights, and the same with one in a hundred changed: in one run, in runs of `run` bytes
/// here and there. The share of the bundle that a vehicle fetches.
fn share(length: usize, run: usize) -> (f64, usize) {
    let dir = tempfile::tempdir().unwrap();
    let folder = copied(dir.path());
    let onnx = folder.join("cell-fault.int8.onnx");
    let mut draws = Draws(9);
    let mut weights: Vec<u8> = (0..length).map(|_| draws.next() as u8).collect();
    fs::write(&onnx, &weights).unwrap();
    build(&folder, dir.path(), &options(1)).unwrap();
    for _ in 0..length / 100 / run {
        let start = draws.next() as usize % (length - run);
        weights[start..start + run].iter_mut().for_each(|weight| *weight = weight.wrapping_add(1));
    }
    fs::write(&onnx, &weights).unwrap();
    build(&folder, dir.path(), &options(2)).unwrap();
    let [old, new] = [1, 2].map(|release| Bundle::open(&index_of(dir.path(), release)).unwrap());
    let difference = difference(&old, &new);
    (difference.bytes() as f64 / difference.whole() as f64, new.index.chunk_size())
}

/// One weight in a hundred changes. What of the bundle a vehicle fetches, the index and the new provenance included.
#[test]
fn what_a_change_of_one_percent_costs() {
    println!(
        "{:>12} {:>8} {:>12} {:>12} {:>12} {:>12}",
        "model bytes", "chunk", "one run", "8 runs", "of 64 bytes", "single"
    );
    for length in [256 << 10, 1 << 20, 8 << 20] {
        let one = length / 100;
        let (contiguous, chunk) = share(length, one);
        let runs = [one / 8, 64, 1].map(|run| share(length, run).0);
        println!(
            "{length:>12} {chunk:>8} {:>11.1}% {:>11.1}% {:>11.1}% {:>11.1}%",
            100.0 * contiguous,
            100.0 * runs[0],
            100.0 * runs[1],
            100.0 * runs[2]
        );
        // One run: itself, a chunk at either end, the index, and the small parts that name the model's digest.
        assert!(contiguous < 0.05, "{length}: {contiguous}");
        assert!(contiguous < runs[0] && runs[0] < runs[1] && runs[1] <= runs[2]);
    }
}

#[test]
fn a_model_that_fails_its_examination_is_not_built() {
    let dir = tempfile::tempdir().unwrap();
    let examine = |seen: &Examined<'_>| {
        assert_eq!((seen.manifest.name.as_str(), seen.features.features.len()), ("cell-fault", 8));
        assert!(!seen.onnx.is_empty() && seen.golden.contains("[[vector]]"));
        Err("output 3 differs".into())
    };
    let error = build(&cell_fault(), dir.path(), &Options { examine, ..options(1) }).unwrap_err();
    assert!(error.to_string().contains("golden.toml: output 3 differs"), "{error}");
    assert!(tree(dir.path()).is_empty(), "nothing is written");
}

#[test]
fn a_configuration_brings_its_catalog_with_the_dbc_files_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let campaign = dir.path().join("campaign.toml");
    fs::write(&campaign, "schema = 1\nname = \"a\"\n").unwrap();
    let mut options = ConfigurationOptions {
        name: "sim".parse().unwrap(),
        version: "1".into(),
        catalog: Some(cell_fault().join("catalog-sim.toml")),
        campaign: Some(campaign),
        release: 2,
        hardware: vec!["bench-a".parse().unwrap()],
        min_agent: AgentVersion::default(),
        content_key: None,
    };
    let out = dir.path().join("out");
    let built = build_configuration(&out, &options).unwrap();
    assert_eq!(built.index.path().to_string(), "configuration/sim-2.index");
    let bundle = Bundle::open(&out.join("index/configuration/sim-2.index")).unwrap();
    bundle.verify(None).unwrap();
    let documents = bundle.part(PartKind::Catalog, None).unwrap().unwrap();
    let documents = telltale_wire::bundle::Documents::decode(&documents).unwrap();
    let names: Vec<&str> = documents.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["catalog-sim.toml", "bms.dbc"]);
    assert_eq!(documents.find("bms.dbc"), Some(fs::read(cell_fault().join("bms.dbc")).unwrap().as_slice()));

    // A catalog that no vehicle could use is not built, nor is nothing at all.
    let broken = dir.path().join("broken.toml");
    fs::write(&broken, "schema = 1\n[[bus]]\nname = \"bms\"\ndbc = [\"absent.dbc\"]\n").unwrap();
    options.catalog = Some(broken);
    let error = build_configuration(&out, &options).unwrap_err().to_string();
    assert!(error.contains("broken.toml") && error.contains("absent.dbc"), "{error}");
    (options.catalog, options.campaign) = (None, None);
    let error = build_configuration(&out, &options).unwrap_err();
    assert!(matches!(error, BuildError::Bundle { .. }), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(!error.to_string().contains(&source), "what lies behind it is told once: {error}: {source}");
}

/// A run of bytes of the model's, long enough that nothing else has it.
fn run_of_the_model() -> Vec<u8> {
    fs::read(cell_fault().join("cell-fault.int8.onnx")).unwrap()[1_000..1_024].to_vec()
}

#[test]
fn a_sealed_bundle_opens_with_its_key_and_shows_nothing_without() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let key = |seed: u8| Arc::new(ContentKey::from_bytes(&[seed; 32]).unwrap());
    let sealed = |seed| Options { content_key: Some(key(seed)), ..options(1) };
    build(&cell_fault(), &a, &sealed(1)).unwrap();
    build(&copied(dir.path()), &b, &sealed(1)).unwrap();
    assert_eq!(tree(&a), tree(&b), "a sealed build is reproducible too");
    let shows = |files: &BTreeMap<PathBuf, Vec<u8>>| {
        files.values().any(|bytes| bytes.windows(24).any(|run| run == run_of_the_model()))
    };
    assert!(!shows(&tree(&a)));
    let open = dir.path().join("open");
    build(&cell_fault(), &open, &options(1)).unwrap();
    assert!(shows(&tree(&open)), "the same search finds it where it lies open");

    let bundle = Bundle::open(&index_of(&a, 1)).unwrap();
    bundle.verify(None).unwrap();
    bundle.verify(Some(&key(1))).unwrap();
    let model = bundle.part(PartKind::Model, Some(&key(1))).unwrap().unwrap();
    assert_eq!(model, fs::read(cell_fault().join("cell-fault.int8.onnx")).unwrap());
    assert!(matches!(bundle.part(PartKind::Model, None), Err(BuildError::NoKey(_))));
    let wrong = bundle.verify(Some(&key(2))).unwrap_err();
    assert!(matches!(wrong, BuildError::Seal(SealError::WrongContentKey)), "{wrong}");
}

#[test]
fn the_next_sealed_release_is_fetched_in_part_and_under_another_key_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, out) = (copied(dir.path()), dir.path().join("out"));
    let key = |seed: u8| Some(Arc::new(ContentKey::from_bytes(&[seed; 32]).unwrap()));
    build(&folder, &out, &Options { content_key: key(1), ..options(1) }).unwrap();
    let manifest = folder.join("model.toml");
    let text = fs::read_to_string(&manifest).unwrap().replace("version = \"1.1.0\"", "version = \"1.1.1\"");
    fs::write(&manifest, text).unwrap();
    build(&folder, &out, &Options { content_key: key(1), ..options(2) }).unwrap();
    build(&folder, &out, &Options { content_key: key(2), ..options(3) }).unwrap();
    let bundle = |release| Bundle::open(&index_of(&out, release)).unwrap();
    let (part, whole) = (difference(&bundle(1), &bundle(2)), difference(&bundle(1), &bundle(3)));
    let fetched = |difference: &Difference| difference.parts.iter().map(|part| part.chunks).sum::<usize>();
    // The manifest, and provenance and SBOM, which name its version and its digest.
    assert!((3..=8).contains(&fetched(&part)), "{part:?}");
    assert_eq!(fetched(&whole), bundle(3).index.chunks.len());
}
