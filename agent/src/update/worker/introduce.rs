//! Tells the cloud the public half of the vehicle's sealing key, over the line that knows the vehicle by its certificate.

use super::{RETRY, Worker};
use crate::update::repositories;
use crate::uplink::CourierError;
use std::time::{Duration, Instant};

/// What the server refuses, or knows nothing of, it is told again after so long: somebody may have decided otherwise.
const AGAIN: Duration = Duration::from_secs(3_600);

/// The server has another key of this vehicle.
const CONFLICT: u16 = 409;

impl Worker {
    /// Tells it, if it is time. A server that has it already says so.
    pub(super) async fn introduce(&mut self) {
        if self.introduction.is_none_or(|at| at > Instant::now()) {
            return;
        }
        let keyring = self.ties.depot.keyring();
        let Some(key) = &keyring.key else {
            self.introduction = None;
            return;
        };
        let Some(courier) = self.ties.uplink.borrow().courier.clone() else { return };
        let pause = match repositories::introduce(&courier, &key.public()).await {
            Ok(()) => None,
            Err(CourierError::Status(CONFLICT)) => {
                log::error!(
                    "the cloud holds another sealing key of this vehicle than {}: it takes this one after \
                     `telltale-cloud vehicle forget-key`, and wraps nothing for it until then",
                    key.public()
                );
                Some(AGAIN)
            }
            Err(CourierError::Status(status)) => {
                log::warn!("the cloud does not take the sealing key's public half: it answers {status}");
                Some(AGAIN)
            }
            Err(error) => {
                log::debug!("the cloud could not be told the sealing key's public half: {error}");
                Some(RETRY)
            }
        };
        self.introduction = pause.map(|pause| Instant::now() + pause);
    }
}
