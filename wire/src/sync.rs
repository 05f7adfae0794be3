//! The sync exchange: batches up, cumulative acknowledgements down.
//!
//! `POST /v1/sync` with a sealed [`SyncRequest`]; the answer is a sealed [`SyncResponse`], sent after the server's
//! database commit, or an HTTP error with a sealed [`SyncRefusal`]. The client certificate names the vehicle; the
//! request's vehicle must be the same.

use crate::envelope::Message;
use crate::ids::{BootId, Lane, Seq, VehicleId};
use crate::record::RawRecord;
use crate::time::{Stamp, WallTime};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// The path of the exchange.
pub const SYNC_PATH: &str = "/v1/sync";

/// The media type of a sealed message.
pub const CONTENT_TYPE: &str = "application/vnd.telltale";

/// The most records in one request, all batches together.
pub const MAX_RECORDS: usize = 2_000;

/// The most batches in one request.
pub const MAX_BATCHES: usize = 16;

/// What a vehicle has for the cloud.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SyncRequest {
    /// Who sends; must be the vehicle of the certificate.
    pub vehicle: VehicleId,
    /// When it was sent, on the clock of the boot that sends.
    pub sent: Stamp,
    /// The records. May be empty: a request for news.
    pub batches: Vec<Batch>,
}

impl Message for SyncRequest {
    const KIND: u8 = 1;
}

/// A dense run of records of one lane and boot: `records[i]` has the sequence number `first_seq + i`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Batch {
    /// The boot that wrote the records (not always the one that sends them).
    pub boot: BootId,
    /// Their lane.
    pub lane: Lane,
    /// The number of the first.
    pub first_seq: Seq,
    /// The records, in order.
    pub records: Vec<RawRecord>,
}

impl Batch {
    /// The number of the last record; `None` for an empty batch, or one whose numbers would overflow.
    #[must_use]
    pub fn last_seq(&self) -> Option<Seq> {
        let n = (self.records.len() as u64).checked_sub(1)?;
        self.first_seq.0.checked_add(n).map(Seq)
    }
}

/// Everything of this boot and lane up to and including `through` is stored durably or known to be lost:
/// the vehicle may delete it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ack {
    /// The boot.
    pub boot: BootId,
    /// The lane.
    pub lane: Lane,
    /// The highest number that is safe.
    pub through: Seq,
}

/// The cloud's answer, sent after its commit.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct SyncResponse {
    /// One for each batch of the request.
    pub acks: Vec<Ack>,
    /// The server's time at the commit.
    pub server_time: WallTime,
    /// The version of what the cloud wants of this vehicle; 0 while it wants nothing.
    pub desired_state: u64,
    /// The vehicle should wait at least this long before it sends again; 0 for no wish.
    pub retry_after_ms: u32,
    /// The most bytes of payload that the server takes in one request.
    pub batch_limit: u32,
}

impl Message for SyncResponse {
    const KIND: u8 = 2;
}

/// Why the cloud refused a request.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SyncRefusal {
    /// What kind of refusal.
    pub code: RefusalCode,
    /// A sentence for the vehicle's log.
    pub message: String,
    /// The vehicle should wait at least this long before it sends again; 0 for no wish.
    pub retry_after_ms: u32,
}

impl Message for SyncRefusal {
    const KIND: u8 = 3;
}

/// The kinds of refusal. Append only.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum RefusalCode {
    /// The request could not be read. Sending it again will not help.
    Malformed,
    /// The certificate names another vehicle, or one that is not enrolled.
    NotThisVehicle,
    /// Over a limit. Send less at once.
    TooLarge,
    /// The server can't store now. Send the same again later.
    Unavailable,
    /// The request speaks a newer protocol than the server.
    NewerProtocol,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_number_of_a_batch_never_overflows() {
        let raw = RawRecord { kind: 1, body: Vec::new() };
        let mut batch = Batch {
            boot: BootId(1),
            lane: Lane::Bulk,
            first_seq: Seq(4),
            records: alloc::vec![raw.clone(), raw],
        };
        assert_eq!(batch.last_seq(), Some(Seq(5)));
        batch.first_seq = Seq(u64::MAX);
        assert_eq!(batch.last_seq(), None);
        batch.records.clear();
        assert_eq!(batch.last_seq(), None);
    }
}
