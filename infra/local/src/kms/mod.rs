//! KMS without AWS: real keys, real signatures, and KMS's refusals.
//!
//! The functions sign through `aws-sdk-kms` here as they do on AWS, so what matters is copied closely: the life of a
//! key, which state refuses which call and with which error, DER signatures, the 4096-byte limit, ciphertexts bound to
//! key and encryption context. It must never sign, decrypt or describe what KMS would refuse, because a test that
//! passes here would then fail on AWS. Where KMS can do something that this cannot, it says so with
//! `UnsupportedOperationException` instead of pretending.
//!
//! It is no vault: private keys lie in a file that only its owner may read, and callers are not authorised.
//!
//! | Key state | sign, verify, encrypt, decrypt, data keys, public key | enable, disable, tag | schedule deletion | cancel deletion | describe, list |
//! | --- | --- | --- | --- | --- | --- |
//! | `Enabled` | yes | yes | yes | `KMSInvalidStateException` | yes |
//! | `Disabled` | `DisabledException` | yes | yes | `KMSInvalidStateException` | yes |
//! | `PendingDeletion` | `KMSInvalidStateException` | `KMSInvalidStateException` | `KMSInvalidStateException` | to `Disabled` | yes |
//! | past its deletion date | `NotFoundException` | `NotFoundException` | `NotFoundException` | `NotFoundException` | no |

mod cipher;
mod crypto;
mod key;
mod manage;
mod refusal;
mod store;
mod wire;

use std::{io, net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use uuid::Uuid;

use self::store::{Realm, Store};

/// How long `shutdown` waits for a client that has sent half a request.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);

/// Why the embedded KMS could not start.
#[derive(Debug, thiserror::Error)]
pub enum KmsError {
    /// The key file cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Read {
        /// The key file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The key file is not one of ours, or is damaged. It is left as it is.
    #[error("the key file {} is damaged: {detail}", path.display())]
    Damaged {
        /// The key file.
        path: PathBuf,
        /// What is wrong with it; never key material.
        detail: String,
    },
    /// The listener cannot be used.
    #[error("the KMS endpoint cannot listen")]
    Listen(#[source] io::Error),
    /// A key of the template could not be made.
    #[error("the key {description} of the template cannot be made")]
    Template {
        /// Its name in the template.
        description: String,
    },
    /// The thread that read the key file ended early.
    #[error("reading the key file was interrupted")]
    Interrupted,
}

/// A running KMS endpoint. Dropping it stops it without waiting.
#[derive(Debug)]
pub struct Kms {
    address: SocketAddr,
    store: Arc<Store>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<io::Result<()>>,
}

impl Kms {
    /// Reads the keys of `key_file` (none: they live as long as the process) and serves them on `listener`.
    pub async fn start(
        listener: TcpListener,
        key_file: Option<PathBuf>,
        region: &str,
        account: &str,
    ) -> Result<Self, KmsError> {
        let address = listener.local_addr().map_err(KmsError::Listen)?;
        let realm = Realm { region: region.to_owned(), account: account.to_owned() };
        let store = tokio::task::spawn_blocking(move || Store::open(key_file, realm))
            .await
            .unwrap_or(Err(KmsError::Interrupted))?;
        let (stop, stop_requested) = oneshot::channel();
        let store = Arc::new(store);
        let serving =
            axum::serve(listener, wire::router(Arc::clone(&store))).with_graceful_shutdown(async move {
                // An error is the owner gone without a word: stop as well.
                drop(stop_requested.await);
            });
        Ok(Self { address, store, stop, server: tokio::spawn(serving.into_future()) })
    }

    /// The endpoint URL, as `AWS_ENDPOINT_URL_KMS` wants it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes the symmetric key of this id unless it is there: what CloudFormation does for a key of the template.
    pub fn ensure_symmetric_key(&self, id: Uuid, description: &str) -> Result<(), KmsError> {
        manage::ensure_symmetric_key(&self.store, id, description)
            .map_err(|_| KmsError::Template { description: description.to_owned() })
    }

    /// Stops accepting and lets running requests finish.
    pub async fn shutdown(self) {
        let Self { stop, mut server, .. } = self;
        let _ = stop.send(());
        if tokio::time::timeout(SHUTDOWN_GRACE, &mut server).await.is_err() {
            server.abort();
        }
    }
}
