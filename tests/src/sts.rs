//! A stand-in for STS, as far as functions use it: `AssumeRole` gives credentials whose access key tells the tenant that
//! they were asked for. It grants whatever it is asked; what IAM makes of the session is tested against an emulator.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::clock::now;

/// The role that functions are told to assume.
pub const ROLE: &str = "arn:aws:iam::000000000000:role/leasehold-test-tenant";

struct State {
    asked: Vec<BTreeMap<String, String>>,
    refuses: bool,
    lives_seconds: u64,
}

/// A running stand-in.
pub struct Sts {
    state: Arc<Mutex<State>>,
    url: String,
}

impl Sts {
    /// Starts listening. Its credentials live for `lives_seconds`.
    pub fn start(lives_seconds: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State { asked: Vec::new(), refuses: false, lives_seconds }));
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                thread::spawn(move || serve(&stream, &state));
            }
        });
        Self { state, url }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether it answers 503 from now on.
    pub fn refuse(&self, refuses: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).refuses = refuses;
    }

    /// The parameters of every `AssumeRole` so far, refused ones included.
    pub fn asked(&self) -> Vec<BTreeMap<String, String>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).asked.clone()
    }
}

/// Answers one connection until it closes.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut input = BufReader::new(stream);
    while let Some(body) = read(&mut input) {
        let form: BTreeMap<String, String> = body
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (decode(name), decode(value)))
            .collect();
        let (status, text) = answer(&form, state);
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n", text.len());
        let mut stream = stream;
        if stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes())).is_err() {
            return;
        }
    }
}

/// The body of the next request.
fn read(input: &mut BufReader<&TcpStream>) -> Option<String> {
    let mut length = 0;
    let mut line = String::new();
    loop {
        line.clear();
        if input.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    String::from_utf8(body).ok()
}

fn answer(form: &BTreeMap<String, String>, state: &Mutex<State>) -> (&'static str, String) {
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    if form.get("Action").is_none_or(|action| action != "AssumeRole") {
        return ("403 Forbidden", error("AccessDenied"));
    }
    state.asked.push(form.clone());
    if state.refuses {
        return ("503 Service Unavailable", error("ServiceUnavailable"));
    }
    let tenant = form.get("Tags.member.1.Value").cloned().unwrap_or_default();
    let end = utc(now().unsigned_abs() + state.lives_seconds);
    let serial = state.asked.len();
    let text = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult><Credentials>\
         <AccessKeyId>{tenant}.{serial}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
         <SessionToken>session</SessionToken><Expiration>{end}</Expiration></Credentials></AssumeRoleResult>\
         </AssumeRoleResponse>"
    );
    ("200 OK", text)
}

fn error(code: &str) -> String {
    format!("<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>")
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        match (first, others) {
            (b'%', [high, low, others @ ..]) => {
                let digits = String::from_utf8_lossy(&[*high, *low]).into_owned();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap_or(b'?'));
                rest = others;
            }
            (b'+', others) => {
                bytes.push(b' ');
                rest = others;
            }
            (byte, others) => {
                bytes.push(*byte);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Seconds since the Unix epoch as `2026-11-25T18:00:00Z` (days to civil date, H. Hinnant's algorithm).
fn utc(seconds: u64) -> String {
    let (days, of_day) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day % 3600 / 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn seconds_become_dates() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_798_761_599, "2026-12-31T23:59:59Z"),
        ] {
            assert_eq!(utc(seconds), text);
        }
    }
}
