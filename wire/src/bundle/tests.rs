//! An index against its own rules, and against bytes that mean harm.

use super::*;
use alloc::string::ToString as _;
use alloc::vec;

fn bytes(seed: u8, length: usize) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn parts() -> Vec<(PartKind, Vec<u8>)> {
    let lengths = [2_500, 1, 1_024, 1_025, 300];
    let kinds = PartKind::ALL.into_iter().zip(lengths);
    kinds.enumerate().map(|(seed, (kind, length))| (kind, bytes(seed as u8, length))).collect()
}

fn index() -> BundleIndex {
    let parts = parts();
    let digests = parts.iter().flat_map(|(_, bytes)| chunks_of(bytes, 10).map(Digest::of));
    BundleIndex {
        family: BundleName::new("cell-fault").unwrap(),
        name: BundleName::new("cell-fault").unwrap(),
        version: "1.0.0".into(),
        release: 7,
        hardware: vec![HardwareId::new("bench-a").unwrap(), HardwareId::new("bench-b").unwrap()],
        min_agent: AgentVersion { major: 0, minor: 1, patch: 0 },
        features: Digest([7; 32]),
        needs: vec![SignalNeed { vss: "Vehicle.Cell{n}.Voltage".into(), unit: Unit::Volt }],
        budget: Budget { latency_us: 5_000, memory_bytes: 1 << 20 },
        golden_tolerance: 0,
        chunk_exponent: 10,
        chunks: digests.collect(),
        parts: parts.iter().map(|(kind, part)| Part { kind: *kind, length: part.len() as u32 }).collect(),
        seal: None,
    }
}

#[test]
fn an_index_survives_its_bytes() {
    let bytes = index().encode().unwrap();
    assert_eq!(BundleIndex::decode(&bytes).unwrap(), index());
}

#[test]
fn every_cut_is_refused_and_nothing_stands_behind() {
    let mut bytes = index().encode().unwrap();
    for len in 0..bytes.len() {
        assert!(BundleIndex::decode(&bytes[..len]).is_err(), "cut at {len}");
    }
    bytes.push(0);
    assert_eq!(BundleIndex::decode(&bytes), Err(BundleError::Malformed));
}

#[test]
fn whatever_a_flipped_bit_reads_as_keeps_the_rules() {
    let good = index().encode().unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        if let Ok(read) = BundleIndex::decode(&bad) {
            // A varint may be written longer than need be, so other bytes can read as the same index.
            assert!(read.check().is_ok() && read.chunks().count() == read.chunks.len(), "bit {bit}");
        }
    }
}

#[test]
fn a_newer_format_is_named_and_a_long_index_not_read() {
    let mut bytes = index().encode().unwrap();
    bytes[0] = 3;
    assert_eq!(BundleIndex::decode(&bytes), Err(BundleError::NewerFormat(3)));
    let len = MAX_INDEX + 1;
    assert_eq!(BundleIndex::decode(&vec![1; len]), Err(BundleError::TooLong { len }));
}

#[test]
fn a_count_that_the_bytes_cannot_hold_takes_no_memory() {
    // Format, two names of one letter, version, release, and 2^32 - 1 hardware ids.
    let bytes = [1, 1, b'a', 1, b'a', 1, b'1', 1, 0xff, 0xff, 0xff, 0xff, 0x0f];
    assert_eq!(BundleIndex::decode(&bytes), Err(BundleError::Malformed));
}

#[test]
fn each_broken_rule_is_named() {
    type Breaks = fn(&mut BundleIndex);
    let broken: [(Breaks, &str); 17] = [
        (|index| index.version.clear(), "0 letters of the version"),
        (|index| index.version = "1 0".into(), "the version has visible"),
        (|index| index.release = 0, "releases count from 1"),
        (|index| index.hardware.clear(), "0 hardware ids"),
        (|index| index.hardware.reverse(), "hardware ids ascend"),
        (|index| index.hardware[1] = index.hardware[0].clone(), "hardware ids ascend"),
        (|index| index.needs = vec![index.needs[0].clone(); MAX_NEEDS + 1], "257 needs"),
        (|index| index.needs[0].vss = "x".repeat(MAX_VSS + 1), "129 bytes of a need's path"),
        (|index| index.budget.latency_us = 0, "a budget is above 0"),
        (|index| index.chunk_exponent = 9, "1 to 64 KiB"),
        (|index| index.chunk_exponent = 200, "1 to 64 KiB"),
        (|index| index.parts[1].length = 0, "no part is empty"),
        (|index| index.parts[1].kind = PartKind::Model, "stands there once"),
        (|index| index.parts[0].kind = PartKind::Other(9), "are there"),
        (|index| index.parts[0].length = u32::MAX, "the bundle has 42949"),
        (|index| index.parts[4].length = 3 << 20, "chunks; 1 to 2048"),
        (|index| index.parts[4].length = 1_025, "make 9 chunks, but its index has 8"),
    ];
    for (breaks, expected) in broken {
        let mut index = index();
        breaks(&mut index);
        let error = index.encode().unwrap_err();
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        // The same rules hold for what is read.
        let bytes = postcard::to_allocvec(&(FORMAT, &index)).unwrap();
        assert_eq!(BundleIndex::decode(&bytes), Err(error));
    }
}

#[test]
fn chunks_cover_each_part_once() {
    let index = index();
    let all: Vec<Chunk> = index.chunks().collect();
    assert_eq!(all.len(), index.chunks.len());
    for (number, chunk) in all.iter().enumerate() {
        assert_eq!(index.chunk(number).as_ref(), Some(chunk));
    }
    assert_eq!(index.chunk(all.len()), None);
    for (kind, bytes) in parts() {
        let place = index.place(kind).unwrap();
        let lengths: usize = all[place.chunks.clone()].iter().map(|chunk| chunk.length).sum();
        assert_eq!((lengths, place.length), (bytes.len(), bytes.len()));
        for number in place.chunks {
            let Chunk { offset, length, .. } = all[number];
            assert!(index.check_chunk(number, &bytes[offset..offset + length]).is_ok());
        }
    }
    assert_eq!(index.length(), 4_850);
}

#[test]
fn a_cut_a_padded_and_a_changed_chunk_are_each_refused() {
    let (index, model) = (index(), parts().remove(0).1);
    let (good, last) = (&model[1_024..2_048], &model[2_048..]);
    assert!(index.check_chunk(1, good).is_ok() && index.check_chunk(2, last).is_ok());
    let error = |number, bytes: &[u8]| index.check_chunk(number, bytes).unwrap_err();
    let length = |found| BundleError::ChunkLength { chunk: 1, expected: 1_024, found };
    assert_eq!(error(1, &good[..1_023]), length(1_023));
    assert_eq!(error(1, &model[1_024..]), length(1_476));
    assert_eq!(error(8, good), BundleError::NoChunk(8));
    for bit in 0..good.len() * 8 {
        let mut bad = good.to_vec();
        bad[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(error(1, &bad), BundleError::ChunkDigest { chunk: 1 });
    }
}

#[test]
fn the_chunk_size_grows_with_the_root_of_the_length() {
    let sizes = [0, 20_000, 32 << 10, 100_000, 1 << 20, 10 << 20, MAX_LENGTH, u64::MAX].map(chunk_exponent);
    assert_eq!(sizes, [10, 10, 10, 11, 13, 15, 16, 16]);
    for length in (0..=MAX_LENGTH).step_by(1 << 18) {
        let chunks = length.div_ceil(1 << chunk_exponent(length)) as usize + MAX_PARTS;
        assert!(chunks <= MAX_CHUNKS, "{length}: {chunks}");
    }
}

#[test]
fn a_path_is_read_one_way_only() {
    let path = index().path();
    assert_eq!(path.to_string(), "cell-fault/cell-fault-7.index");
    assert_eq!(path.to_string().parse(), Ok(path));
    for bad in [
        "",
        "/",
        "a/b",
        "a/b.index",
        "a/b-.index",
        "a/b-0.index",
        "a/b-07.index",
        "a/b-+7.index",
        "a/b-4294967296.index",
        "../b-7.index",
        "a/../b-7.index",
        "a/b/c-7.index",
        "/b-7.index",
        "A/b-7.index",
        "a/-7.index",
        "a\\b-7.index",
        "a/b-7.index\0",
        "a/b%2f-7.index",
    ] {
        assert!(bad.parse::<IndexPath>().is_err(), "{bad:?}");
    }
}

#[test]
fn names_and_versions_keep_their_letters() {
    for bad in ["", "-a", ".a", "a/b", "a b", "Ä", "a.b", "a_b", "aA", &"a".repeat(33)] {
        assert!(BundleName::new(bad).is_err(), "{bad:?}");
    }
    assert!(BundleName::new(&"a".repeat(32)).is_ok() && HardwareId::new("orin-nx_2.1").is_ok());
    assert_eq!("0.10.2".parse(), Ok(AgentVersion { major: 0, minor: 10, patch: 2 }));
    for bad in ["", "1", "1.2", "1.2.3.4", "1.2.x", "1.2.70000", "-1.2.3"] {
        assert!(bad.parse::<AgentVersion>().is_err(), "{bad:?}");
    }
}

#[test]
fn a_part_of_a_newer_builder_is_kept() {
    let mut index = index();
    index.parts[4].kind = PartKind::Other(200);
    let read = BundleIndex::decode(&index.encode().unwrap()).unwrap();
    assert_eq!(read.parts[4].kind, PartKind::Other(200));
    for number in 0..=u8::MAX {
        assert_eq!(u8::from(PartKind::from(number)), number);
    }
    // A known kind under the name of an unknown one is the known one, once it was read.
    index.parts[4].kind = PartKind::Other(0);
    let bytes = postcard::to_allocvec(&(FORMAT, &index)).unwrap();
    assert_eq!(BundleIndex::decode(&bytes), Err(BundleError::Rule("each part stands there once")));
}

#[test]
fn a_configuration_has_its_own_parts_and_a_model_has_none_of_them() {
    let one = |kind| (vec![Part { kind, length: 9 }], vec![Digest([1; 32])]);
    let family = |name: &str| BundleName::new(name).unwrap();
    for kind in PartKind::CONFIGURATION {
        let (parts, chunks) = one(kind);
        let features = Digest([0; 32]);
        let good = BundleIndex { family: family(CONFIGURATION), features, parts, chunks, ..index() };
        let bytes = good.encode().unwrap();
        assert_eq!(BundleIndex::decode(&bytes), Ok(good.clone()));
        let other = BundleIndex { family: family("cell-fault"), ..good.clone() };
        assert!(matches!(other.encode(), Err(BundleError::Rule(_))));
        let trained = BundleIndex { features: Digest([1; 32]), ..good };
        assert!(matches!(trained.encode(), Err(BundleError::Rule(_))));
    }
    let model = BundleIndex { family: family(CONFIGURATION), features: Digest([0; 32]), ..index() };
    assert!(matches!(model.encode(), Err(BundleError::Rule(_))));
    let (parts, chunks) = one(PartKind::Card);
    let empty = BundleIndex { parts, chunks, ..model };
    assert!(matches!(empty.encode(), Err(BundleError::Rule(_))));
    let mut both = index();
    both.parts.push(Part { kind: PartKind::Campaign, length: 1 });
    both.chunks.push(Digest([1; 32]));
    assert!(matches!(both.encode(), Err(BundleError::Rule(_))));
}

/// The same with parts long enough to be sealed.
fn sealed() -> BundleIndex {
    let seal = Some(Seal { scheme: SEAL_SCHEME, key_id: Digest([9; 32]) });
    let mut index = BundleIndex { seal, ..index() };
    index.parts[1].length = 41;
    index.parts[3].length = 2_000;
    index
}

#[test]
fn a_seal_stands_in_a_format_of_its_own_and_is_held_to_its_rules() {
    let good = sealed();
    let bytes = good.encode().unwrap();
    assert_eq!((bytes[0], BundleIndex::decode(&bytes)), (SEALED_FORMAT as u8, Ok(good.clone())));
    assert_eq!((good.chunk_size(), good.content_size(), index().content_size()), (1_024, 984, 1_024));
    for cut in 0..bytes.len() {
        assert!(BundleIndex::decode(&bytes[..cut]).is_err(), "cut at {cut}");
    }
    let longer = [bytes.as_slice(), &[0]].concat();
    assert_eq!(BundleIndex::decode(&longer), Err(BundleError::Malformed));
    // Nobody makes it an open one by its first byte, and an open one has no seal that somebody could add.
    let opened = [&[FORMAT as u8], &bytes[1..]].concat();
    assert_eq!(BundleIndex::decode(&opened), Err(BundleError::Malformed));
    let mut open = index().encode().unwrap();
    open[0] = SEALED_FORMAT as u8;
    assert_eq!(BundleIndex::decode(&open), Err(BundleError::Malformed));

    let mut newer = sealed();
    newer.seal = Some(Seal { scheme: 2, key_id: Digest([9; 32]) });
    let mut short = sealed();
    short.parts[1].length = SEAL_OVERHEAD as u32;
    let rule = BundleError::Rule("a sealed chunk is longer than its nonce and its tag");
    for (bad, expected) in [(newer, BundleError::NewerSeal(2)), (short, rule)] {
        assert_eq!(bad.encode(), Err(expected));
        let bytes = postcard::to_allocvec(&(SEALED_FORMAT, &bad, bad.seal.unwrap())).unwrap();
        assert_eq!(BundleIndex::decode(&bytes), Err(expected));
    }
}
