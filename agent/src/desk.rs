//! Answers what is asked on the control socket.

use crate::control::{Answering, Request};
use crate::observe::Observer;
use serde_json::Value;

/// What the requests are answered from.
pub(crate) struct Desk {
    pub(crate) observer: Observer,
}

impl Answering for Desk {
    async fn answer(&self, request: Request) -> Result<Value, String> {
        match request {
            Request::Status => {
                serde_json::to_value(self.observer.report().await).map_err(|error| error.to_string())
            }
        }
    }
}
