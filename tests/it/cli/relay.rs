//! A network that loses answers: it stands between the command line and the gateway.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives.
    Arrives,
    /// The request arrives, the answer does not.
    IsLost,
    /// The request arrives, the answer does not come and the connection stays.
    Hangs,
}

/// A relay before one gateway.
pub struct Relay {
    address: SocketAddr,
    /// Fates of the next requests to a path that ends so.
    fates: Arc<Mutex<VecDeque<(&'static str, Fate)>>>,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Relay {
    /// Starts a relay; it ends with the runtime of its test.
    pub async fn start(gateway: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let relay = Self {
            address: listener.local_addr().expect("an address"),
            fates: Arc::default(),
            heard: Arc::default(),
        };
        let (fates, heard) = (Arc::clone(&relay.fates), Arc::clone(&relay.heard));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, gateway, Arc::clone(&fates), Arc::clone(&heard)));
            }
        });
        relay
    }

    /// The URL of a tenant behind the relay.
    pub fn issuer(&self, tenant: &str) -> String {
        format!("http://{}/t/{tenant}", self.address)
    }

    /// Loses the answer to the next request to a path that ends so.
    pub fn lose(&self, path: &'static str) {
        self.fates.lock().expect("the fates").push_back((path, Fate::IsLost));
    }

    /// Keeps the answer to the next request to a path that ends so.
    pub fn hang(&self, path: &'static str) {
        self.fates.lock().expect("the fates").push_back((path, Fate::Hangs));
    }

    /// The paths that were asked for, in order, since the last question.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().expect("what was heard"))
    }
}

/// Carries one request and its answer.
async fn carry(
    mut client: TcpStream,
    gateway: SocketAddr,
    fates: Arc<Mutex<VecDeque<(&'static str, Fate)>>>,
    heard: Arc<Mutex<Vec<String>>>,
) {
    let Some(request) = read_message(&mut client).await else { return };
    let text = String::from_utf8_lossy(&request);
    let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
    heard.lock().expect("what was heard").push(path.clone());
    let fate = {
        let mut fates = fates.lock().expect("the fates");
        match fates.front() {
            Some((suffix, fate)) if path.ends_with(suffix) => {
                let fate = *fate;
                fates.pop_front();
                fate
            }
            _ => Fate::Arrives,
        }
    };
    let mut upstream = TcpStream::connect(gateway).await.expect("the gateway listens");
    upstream.write_all(&request).await.expect("the gateway takes it");
    let Some(reply) = read_message(&mut upstream).await else { return };
    match fate {
        Fate::Arrives => {}
        Fate::IsLost => return,
        Fate::Hangs => std::future::pending().await,
    }
    // One request a connection.
    let head = reply.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let reply = [&reply[..head], b"connection: close\r\n", &reply[head..]].concat();
    drop(client.write_all(&reply).await);
}

/// A message with its `Content-Length` of body.
async fn read_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut chunk = vec![0; 16 * 1024];
        let read = stream.read(&mut chunk).await.ok().filter(|read| *read > 0)?;
        message.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&message);
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let length = text[..end].lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
        });
        if message.len() >= end + 4 + length.unwrap_or(0) {
            return Some(message);
        }
    }
}
