//! The end of a process: Lambda sends SIGTERM to a function that has registered an extension, and leaves it half a second
//! (Lambda developer guide, "Shutdown phase"; as found in November 2026, not checked against AWS). What was counted and
//! not written yet is written then.
//!
//! A host without the Extensions API only loses that: it must never keep a function from starting.

use std::time::Duration;

use crate::app::App;
use crate::clock;

/// What the extension is called; names are unique within a function.
const NAME: &str = "leasehold-ending";

/// How long a host may take to register the extension.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sees to it that counts are written when the process is told to end.
pub async fn flush_at_the_end(app: &App) {
    let extension = lambda_extension::Extension::new().with_events(&[]).with_extension_name(NAME);
    match tokio::time::timeout(PATIENCE, extension.register()).await {
        Ok(Ok(registered)) => {
            // Waits for events that never come; without it the host would take the start for unfinished.
            tokio::spawn(async move {
                if registered.run().await.is_err() {
                    tracing::debug!("the extension ended");
                }
            });
        }
        Ok(Err(_)) | Err(_) => {
            tracing::debug!("the host has no extensions: counts of the last seconds end with it");
        }
    }
    let Ok(mut ended) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) else {
        return;
    };
    let app = app.clone();
    tokio::spawn(async move {
        if ended.recv().await.is_some() {
            app.recorder.flush(&app.store, clock::now()).await;
            std::process::exit(0);
        }
    });
}
