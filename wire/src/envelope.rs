//! The envelope around each message: who it is for, which protocol, and a digest that shows a torn one.
//!
//! Layout: `"TT"`, protocol version (u16 little-endian), message kind (u8), the first 8 bytes of the payload's
//! SHA-256, payload. TLS already protects a message on the line; the digest protects it in spools, proxies and
//! captures, where half of a message is a fact of life.

use crate::PROTOCOL_VERSION;
use crate::digest::{Digest, ShortDigest};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use serde::Serialize;
use serde::de::DeserializeOwned;

const MAGIC: [u8; 2] = *b"TT";

/// Bytes before the payload.
pub const HEADER_LEN: usize = 13;

/// The longest payload either side takes, in bytes. A batch limit lies well below it.
pub const MAX_PAYLOAD: usize = 4 * 1024 * 1024;

/// A message that travels in an envelope. Kinds are append only.
pub trait Message: Serialize + DeserializeOwned {
    /// The number in the envelope.
    const KIND: u8;
}

/// Why bytes were not opened as a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EnvelopeError {
    /// Shorter than a header, or not starting with the magic.
    NotAnEnvelope,
    /// The other side speaks a newer protocol.
    NewerProtocol {
        /// The version that it names.
        version: u16,
    },
    /// An envelope of another message.
    OtherKind {
        /// The kind that was asked for.
        expected: u8,
        /// The kind that it holds.
        found: u8,
    },
    /// The payload is longer than [`MAX_PAYLOAD`].
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The payload is not the one that was sealed.
    DigestMismatch,
    /// The payload does not decode as the message.
    Malformed(String),
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEnvelope => f.write_str("these bytes are no Telltale message (no \"TT\" header)"),
            Self::NewerProtocol { version } => {
                write!(
                    f,
                    "the message uses protocol {version}, this side knows up to {PROTOCOL_VERSION}: update this side"
                )
            }
            Self::OtherKind { expected, found } => {
                write!(f, "expected message kind {expected}, found {found}")
            }
            Self::TooLong { len } => {
                write!(f, "the payload of {len} bytes is over the limit of {MAX_PAYLOAD}")
            }
            Self::DigestMismatch => {
                f.write_str("the payload's digest does not match: it was cut or changed on the way")
            }
            Self::Malformed(why) => write!(f, "the payload does not decode: {why}"),
        }
    }
}

impl core::error::Error for EnvelopeError {}

/// Seals a message for the way.
///
/// # Errors
/// [`EnvelopeError::TooLong`], or [`EnvelopeError::Malformed`] if the message cannot be encoded.
pub fn seal<M: Message>(message: &M) -> Result<Vec<u8>, EnvelopeError> {
    let payload = postcard::to_allocvec(message).map_err(malformed)?;
    if payload.len() > MAX_PAYLOAD {
        return Err(EnvelopeError::TooLong { len: payload.len() });
    }
    let mut bytes = Vec::with_capacity(HEADER_LEN + payload.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
    bytes.push(M::KIND);
    bytes.extend_from_slice(&Digest::of(&payload).short().0);
    bytes.extend_from_slice(&payload);
    Ok(bytes)
}

/// Opens an envelope that should hold an `M`. Bytes behind the fields that this side knows are ignored: they
/// are a newer writer's appended fields.
///
/// # Errors
/// Every [`EnvelopeError`]; the bytes may come from anyone.
pub fn open<M: Message>(bytes: &[u8]) -> Result<M, EnvelopeError> {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_LEN>() else {
        return Err(EnvelopeError::NotAnEnvelope);
    };
    let [m0, m1, v0, v1, kind, digest @ ..] = *header;
    if [m0, m1] != MAGIC {
        return Err(EnvelopeError::NotAnEnvelope);
    }
    let version = u16::from_le_bytes([v0, v1]);
    if version > PROTOCOL_VERSION {
        return Err(EnvelopeError::NewerProtocol { version });
    }
    if kind != M::KIND {
        return Err(EnvelopeError::OtherKind { expected: M::KIND, found: kind });
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(EnvelopeError::TooLong { len: payload.len() });
    }
    if Digest::of(payload).short() != ShortDigest(digest) {
        return Err(EnvelopeError::DigestMismatch);
    }
    postcard::take_from_bytes(payload).map(|(message, _appended)| message).map_err(malformed)
}

fn malformed(error: postcard::Error) -> EnvelopeError {
    EnvelopeError::Malformed(alloc::format!("{error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Note {
        text: String,
    }
    impl Message for Note {
        const KIND: u8 = 200;
    }

    #[derive(Serialize, Deserialize)]
    struct NewerNote {
        text: String,
        urgency: u32,
    }
    impl Message for NewerNote {
        const KIND: u8 = 200;
    }

    fn sealed() -> Vec<u8> {
        seal(&Note { text: "cell 82".into() }).unwrap()
    }

    #[test]
    fn what_was_sealed_opens() {
        assert_eq!(open::<Note>(&sealed()).unwrap().text, "cell 82");
    }

    #[test]
    fn fields_that_a_newer_side_appended_are_ignored() {
        let bytes = seal(&NewerNote { text: "x".into(), urgency: 9 }).unwrap();
        assert_eq!(open::<Note>(&bytes).unwrap(), Note { text: "x".into() });
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_refused() {
        let good = sealed();
        for len in 0..good.len() {
            assert!(open::<Note>(&good[..len]).is_err(), "cut at {len} was taken");
        }
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // The version may be flipped to an older one that is still spoken; all else must be refused.
            let older =
                (2..4).contains(&(bit / 8)) && u16::from_le_bytes([bad[2], bad[3]]) < PROTOCOL_VERSION;
            assert!(older || open::<Note>(&bad).is_err(), "flip of bit {bit} was taken");
        }
    }

    #[test]
    fn a_newer_protocol_is_named() {
        let mut bytes = sealed();
        bytes[2] = 2;
        assert_eq!(open::<Note>(&bytes), Err(EnvelopeError::NewerProtocol { version: 2 }));
    }
}
