//! Answers what is asked on the control socket.

use crate::control::{Answering, Request, SnapshotOrder};
use crate::logging;
use crate::observe::Observer;
use crate::reload::Reloader;
use crate::update::{ModelOrder, Orders};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use telltale_core::snapshot::{SnapshotRequest, Triggered};

/// What the requests are answered from.
pub(crate) struct Desk {
    pub(crate) observer: Arc<Observer>,
    pub(crate) reloader: Arc<Reloader>,
    /// The way to the updates, if there is an `[update]`.
    pub(crate) orders: Option<Orders>,
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
            Request::Snapshot(order) => self.snapshot(order).await,
            Request::Model(order) => self.model(order).await,
        }
    }
}

/// The longest note of a snapshot, in letters.
const MAX_NOTE: usize = 200;

impl Desk {
    /// Carries out what is asked of the updates, and tells what is known of them.
    async fn model(&self, order: ModelOrder) -> Result<Value, String> {
        let Some(orders) = &self.orders else {
            return Err("this agent takes no updates: its configuration has no `[update]`".into());
        };
        if order != ModelOrder::List {
            orders.give(order).await?;
        }
        serde_json::to_value(self.observer.updates()).map_err(|error| error.to_string())
    }

    async fn snapshot(&self, order: SnapshotOrder) -> Result<Value, String> {
        let seconds = |seconds: Option<u32>| seconds.map(|s| Duration::from_secs(u64::from(s)));
        let request = SnapshotRequest {
            before: seconds(order.before_s),
            after: seconds(order.after_s),
            signals: order.signals,
        };
        let note = order.note.chars().take(MAX_NOTE).collect();
        match self.observer.post.snapshot(note, request).await {
            Err(unanswered) => Err(unanswered.to_string()),
            Ok(Triggered::Begun(number)) => Ok(json!({ "number": number, "merged": false })),
            Ok(Triggered::Merged(number)) => Ok(json!({ "number": number, "merged": true })),
            Ok(Triggered::Suppressed) => {
                Err("there were as many snapshots within the hour as `snapshot.per_hour` allows".into())
            }
            Ok(Triggered::Off) => {
                Err("snapshots are turned off: give them memory (`snapshot.memory_kib`)".into())
            }
            Ok(Triggered::UnknownSignal(pattern)) => Err(format!(
                "no signal of the catalog fits `{pattern}`: a VSS path, or its beginning and `*`"
            )),
        }
    }
}
