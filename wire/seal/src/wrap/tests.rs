//! Wrapped keys open for whom they are, and for nobody else; the suite is the one of the standard.

use super::*;

struct Ends {
    vehicle: VehicleId,
    family: BundleName,
    content: ContentKey,
    sealing: SealingKey,
}

impl Ends {
    fn new() -> Self {
        Self {
            vehicle: VehicleId::new("bench-01").unwrap(),
            family: BundleName::new("cell-fault").unwrap(),
            content: ContentKey::from_bytes(&[5; 32]).unwrap(),
            sealing: SealingKey::from_bytes(&[6; 32]).unwrap(),
        }
    }

    fn wrapped(&self) -> WrappedKey {
        self.sealing.public().wrap(&self.content, &self.vehicle, &self.family).unwrap()
    }

    fn unwrap(&self, wrapped: &WrappedKey) -> Result<ContentKey, SealError> {
        let key_id = &self.content.id();
        self.sealing.unwrap(wrapped, Purpose { vehicle: &self.vehicle, family: &self.family, key_id })
    }
}

#[test]
fn a_wrapped_key_opens_and_no_two_are_the_same() {
    let ends = Ends::new();
    let (one, other) = (ends.wrapped(), ends.wrapped());
    assert_ne!(one, other);
    assert_eq!(ends.unwrap(&one), Ok(ContentKey::from_bytes(&[5; 32]).unwrap()));
    assert_eq!(ends.unwrap(&other).unwrap(), ends.content);
    assert_eq!(one.to_hex().parse(), Ok(one.clone()));
    assert_eq!((one.to_bytes().len(), one.recipient()), (WrappedKey::LENGTH, ends.sealing.public()));
    assert!(!one.to_bytes().windows(8).any(|run| run == [5; 8]), "the key lies open in it");
}

#[test]
fn it_opens_for_no_other_purpose() {
    let ends = Ends::new();
    let wrapped = ends.wrapped();
    let elsewhere = Ends { vehicle: VehicleId::new("bench-02").unwrap(), ..Ends::new() };
    assert_eq!(elsewhere.unwrap(&wrapped), Err(SealError::NotThisPurpose));
    let elsewhere = Ends { family: BundleName::new("cell-fault-2").unwrap(), ..Ends::new() };
    assert_eq!(elsewhere.unwrap(&wrapped), Err(SealError::NotThisPurpose));
    let elsewhere = Ends { content: ContentKey::from_bytes(&[7; 32]).unwrap(), ..Ends::new() };
    assert_eq!(elsewhere.unwrap(&wrapped), Err(SealError::NotThisPurpose));
    let elsewhere = Ends { sealing: SealingKey::generate().unwrap(), ..Ends::new() };
    let (theirs, ours) = (ends.sealing.public(), elsewhere.sealing.public());
    assert_eq!(elsewhere.unwrap(&wrapped), Err(SealError::OtherSealingKey { theirs, ours }));
    // A boundary between two texts that moved is another purpose.
    let moved = Ends {
        vehicle: VehicleId::new("bench-01c").unwrap(),
        family: BundleName::new("ell-fault").unwrap(),
        ..Ends::new()
    };
    assert_eq!(moved.unwrap(&wrapped), Err(SealError::NotThisPurpose));
}

#[test]
fn another_key_under_the_name_of_the_right_one_is_found_out() {
    let ends = Ends::new();
    let info = Purpose { vehicle: &ends.vehicle, family: &ends.family, key_id: &ends.content.id() }.info();
    let (encapped, sealed) = hpke::single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &ends.sealing.public().public().unwrap(),
        &info,
        &[9; 32],
        &[],
    )
    .unwrap();
    let wrapped = WrappedKey {
        recipient: ends.sealing.public(),
        encapped: encapped.to_bytes().into(),
        sealed: sealed.try_into().unwrap(),
    };
    assert_eq!(ends.unwrap(&wrapped), Err(SealError::WrongContentKey));
}

#[test]
fn flipped_bits_and_every_cut_are_refused() {
    let ends = Ends::new();
    let good = ends.wrapped().to_bytes();
    // Three of each byte's bits: each costs an exchange of keys.
    for bit in (0..good.len() * 8).step_by(3) {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let refused = ends.unwrap(&WrappedKey::from_bytes(&bad).unwrap()).unwrap_err();
        match bit / 8 {
            0..32 => assert!(matches!(refused, SealError::OtherSealingKey { .. }), "bit {bit}: {refused}"),
            // X25519 ignores the highest bit of a public key, HPKE does not: it is hashed as it stands.
            _ => assert_eq!(refused, SealError::NotThisPurpose, "bit {bit}"),
        }
    }
    let malformed = SealError::Malformed("wrapped content key");
    for len in (0..good.len()).chain([good.len() + 1]) {
        let bytes: Vec<u8> = good.iter().copied().chain([0]).take(len).collect();
        assert_eq!(WrappedKey::from_bytes(&bytes), Err(malformed.clone()), "{len} bytes");
    }
    assert_eq!("zz".parse::<WrappedKey>(), Err(malformed));
}

#[test]
fn keys_of_low_order_and_no_keys_are_refused() {
    let mut one = [0; 32];
    one[0] = 1;
    for weak in [[0; 32], one] {
        assert_eq!(RecipientKey::new(&weak), Err(SealError::WeakKey), "{weak:?}");
    }
    assert_eq!(RecipientKey::new(&[1; 31]), Err(SealError::Malformed("public key")));
    assert_eq!("00ff".parse::<RecipientKey>(), Err(SealError::Malformed("public key")));
    let key = SealingKey::generate().unwrap();
    assert_eq!(key.public().to_string().parse(), Ok(key.public()));
    assert_eq!(SealingKey::from_bytes(&*key.to_bytes()).unwrap().public(), key.public());
    assert!(!format!("{key:?}").contains(&hex::encode(*key.to_bytes())[..16]));
}

/// RFC 9180, appendix A.2.1: base mode, this suite, the first encryption.
#[test]
fn the_suite_is_that_of_the_standard() {
    let bytes = |text: &str| hex::decode(text).unwrap();
    let private =
        Private::from_bytes(&bytes("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb"))
            .unwrap();
    let encapped =
        Encapped::from_bytes(&bytes("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a"))
            .unwrap();
    let opened = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
        &OpModeR::Base,
        &private,
        &encapped,
        &bytes("4f6465206f6e2061204772656369616e2055726e"),
        &bytes("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28"),
        &bytes("436f756e742d30"),
    );
    assert_eq!(opened.unwrap(), b"Beauty is truth, truth beauty");
}
