//! Answers what is asked on the control socket.

use crate::control::{Answering, Request};
use crate::logging;
use crate::observe::Observer;
use crate::reload::Reloader;
use serde_json::Value;
use std::sync::Arc;

/// What the requests are answered from.
pub(crate) struct Desk {
    pub(crate) observer: Arc<Observer>,
    pub(crate) reloader: Arc<Reloader>,
}

impl Answering for Desk {
    async fn answer(&self, request: Request) -> Result<Value, String> {
        match request {
            Request::Status => {
                serde_json::to_value(self.observer.report().await).map_err(|error| error.to_string())
            }
            Request::Reload => self.reloader.reload().await.map(Value::String),
            Request::LogLevel(directives) => {
                logging::change(&directives).map_err(|error| error.to_string())?;
                log::info!("the log level is now {directives}");
                Ok(Value::Null)
            }
        }
    }
}
