//! One HTTP server on one listener, stopped with a limit on its patience.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves the router, with `TCP_NODELAY` and the peer's address for whoever wants it.
    pub fn start(listener: TcpListener, router: Router) -> Self {
        let (stop, stopped) = oneshot::channel();
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!("TCP_NODELAY: {error}");
            }
        });
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async {
            // An error is the owner gone without a word: stop as well.
            let _ = stopped.await;
        });
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::warn!("a server stopped: {error}");
            }
        });
        Self { stop, task }
    }

    /// Stops accepting, and gives open requests that long to end.
    pub async fn stop(self, patience: Duration) {
        let Self { stop, mut task } = self;
        let _ = stop.send(());
        if tokio::time::timeout(patience, &mut task).await.is_err() {
            task.abort();
        }
    }
}
