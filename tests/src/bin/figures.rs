//! What the release binaries are: size, newest glibc symbol, start, peak memory; and what the first random byte costs.
//!
//! `figures <folder of binaries> [--check] [--starts]`: the folder holds the functions and `hello`, a function that does nothing,
//! built in one command. A start is measured from the fork to the first poll of the Runtime API, as a median over many
//! rounds in which all binaries take turns, so that what else the machine does meets all alike. With `--check` it ends
//! with 1 when a start costs over 5 ms more than that of `hello`, or the first random byte over 1 ms.
//!
//! `--starts` leaves the peak memory out. `ROUNDS` sets the number of starts of each (default 40).

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use leasehold_tests::settings;
use leasehold_tests::stack::{Setup, Stack};
use leasehold_tests::tenant::Tenant;
use serde_json::json;

const HELLO: &str = "hello";
/// How much longer than `hello` a function may take to start.
const START_LIMIT: Duration = Duration::from_millis(5);
const RANDOM_LIMIT: Duration = Duration::from_millis(1);

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "first-random-byte") {
        let began = Instant::now();
        let mut byte = [0; 1];
        aws_lc_rs::rand::fill(&mut byte).expect("the kernel gives randomness");
        println!("{}", began.elapsed().as_nanos());
        return ExitCode::SUCCESS;
    }
    let Some(folder) = arguments.first().map(PathBuf::from) else {
        eprintln!("figures <folder of binaries> [--check] [--starts]");
        return ExitCode::from(2);
    };
    let functions = functions(&folder);
    let starts = starts(&folder, &functions);
    let peaks = if arguments.iter().any(|argument| argument == "--starts") {
        Vec::new()
    } else {
        peaks(&folder, &functions).await
    };
    println!(
        "| Binary | Size, MB | glibc | Start, ms | CPU of the start, ms | Memory at start, MB | Peak, MB |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for name in functions.iter().map(String::as_str).chain([HELLO]) {
        let data = fs::read(folder.join(name)).expect("a binary");
        let start = starts.iter().find(|(of, _)| *of == name).map(|(_, start)| *start).expect("measured");
        let peak = peaks.iter().find(|(of, _)| *of == name).map(|(_, peak)| *peak);
        println!(
            "| `{name}` | {:.1} | {} | {:.1} | {:.1} | {:.1} | {} |",
            mega(data.len() as u64),
            newest_glibc(&data),
            milliseconds(start.wall),
            milliseconds(start.cpu),
            mega(start.memory),
            peak.map_or_else(|| "-".to_owned(), |peak| format!("{:.1}", mega(peak))),
        );
    }
    let random = first_random_byte();
    println!("\nFirst random byte of a process: {:.3} ms.", milliseconds(random));
    if arguments.iter().any(|argument| argument == "--check") {
        check(&starts, random)
    } else {
        ExitCode::SUCCESS
    }
}

/// The functions of the repository that have a binary in the folder.
fn functions(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(settings::repository().join("functions")).expect("the functions");
    let mut names: Vec<String> =
        entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| folder.join(name).is_file());
    names.sort_unstable();
    names
}

/// Whether everything is within its limit.
fn check(starts: &[(String, Start)], random: Duration) -> ExitCode {
    let hello = starts.iter().find(|(of, _)| *of == HELLO).map(|(_, start)| *start).expect("measured");
    let mut failed = false;
    for (name, start) in starts {
        for (what, ours, least) in [("start", start.wall, hello.wall), ("CPU", start.cpu, hello.cpu)] {
            if ours > least + START_LIMIT {
                println!(
                    "FAIL  {what} of {name}: {:.1} ms over hello",
                    milliseconds(ours.saturating_sub(least))
                );
                failed = true;
            }
        }
    }
    if random > RANDOM_LIMIT {
        println!("FAIL  the first random byte");
        failed = true;
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "sizes of programs are far below 2^52")]
fn mega(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// The newest version that the binary names; symbols of newer ones would not be found where the library is older.
fn newest_glibc(data: &[u8]) -> String {
    let mut newest = (0, 0);
    for found in data.windows(6).enumerate().filter(|(_, window)| *window == b"GLIBC_").map(|(at, _)| at + 6)
    {
        let rest: Vec<u8> = data[found..].iter().copied().take_while(|byte| *byte != 0).take(8).collect();
        let text = String::from_utf8_lossy(&rest).into_owned();
        let mut parts = text.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        newest = newest.max((parts.next().unwrap_or(0), parts.next().unwrap_or(0)));
    }
    format!("{}.{}", newest.0, newest.1)
}

/// One start.
#[derive(Clone, Copy, Debug)]
struct Start {
    wall: Duration,
    cpu: Duration,
    memory: u64,
}

/// The median start of each binary.
fn starts(folder: &Path, functions: &[String]) -> Vec<(String, Start)> {
    let aws = stand_in();
    let names = functions.iter().cloned().chain([HELLO.to_owned()]);
    let mut found: Vec<(String, Vec<Start>)> = names.map(|name| (name, Vec::new())).collect();
    for round in 0..=settings::number("ROUNDS", 40) {
        for (name, of) in &mut found {
            let start = start(&folder.join(name.as_str()), &aws);
            // The first brings the binary into the page cache.
            if round > 0 {
                of.push(start);
            }
        }
    }
    let median = |of: &[Start], what: fn(&Start) -> Duration| {
        let mut times: Vec<Duration> = of.iter().map(what).collect();
        times.sort_unstable();
        times[times.len() / 2]
    };
    found
        .into_iter()
        .map(|(name, of)| {
            let wall = median(&of, |start| start.wall);
            let cpu = median(&of, |start| start.cpu);
            let memory = of.iter().map(|start| start.memory).max().unwrap_or(0);
            (name, Start { wall, cpu, memory })
        })
        .collect()
}

/// Starts a function and waits until it asks for its first event.
fn start(binary: &Path, aws: &str) -> Start {
    let runtime = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = runtime.local_addr().expect("an address").to_string();
    let mut command = Command::new(binary);
    command.env_clear().envs([
        ("AWS_LAMBDA_RUNTIME_API", address.as_str()),
        ("AWS_LAMBDA_FUNCTION_NAME", "figures"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "figures"),
        ("AWS_SECRET_ACCESS_KEY", "figures"),
        ("AWS_ENDPOINT_URL", aws),
        ("STAGE", "figures"),
        ("TABLE_NAME", "figures"),
        ("PUBLIC_URL", "https://figures.invalid"),
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().unwrap_or_else(|error| panic_with(&binary.display().to_string(), &error));
    let wall = first_poll(&runtime, began);
    let (cpu, memory) = (cpu(child.id()), peak_memory(child.id()));
    child.kill().expect("it can be ended");
    child.wait().expect("it ends");
    Start { wall, cpu, memory }
}

/// When the function first asks for an event. Before that it registers its extension, which is let in.
fn first_poll(runtime: &TcpListener, began: Instant) -> Duration {
    let mut held = Vec::new();
    loop {
        let (mut stream, _) = runtime.accept().expect("the function connects");
        let mut head = [0; 64];
        let read = stream.read(&mut head).expect("the function asks");
        let asked = String::from_utf8_lossy(&head[..read]).into_owned();
        if asked.starts_with("GET /2018-06-01/runtime/invocation/next") {
            return began.elapsed();
        }
        assert!(
            asked.starts_with("POST /2020-01-01/extension/register"),
            "it asks for something else: {asked}"
        );
        let body = r#"{"functionName":"figures","functionVersion":"1","handler":"bootstrap"}"#;
        let length = body.len();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nlambda-extension-identifier: figures\r\ncontent-length: {length}\r\n\r\n{body}"
        )
        .expect("the extension listens");
        // The extension waits on it for an event that never comes.
        held.push(stream);
    }
}

fn panic_with(what: &str, error: &std::io::Error) -> std::process::Child {
    leasehold_tests::http::fail(&format!("{what}: {error}"))
}

/// CPU time of all threads, from the scheduler's own count in nanoseconds.
fn cpu(pid: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    let of = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0)
    };
    Duration::from_nanos(tasks.flatten().map(of).sum())
}

/// The most memory that a process has had at once, in bytes.
fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kilobytes| kilobytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// DynamoDB and KMS for a function that only opens its connections: refuses whatever it is asked.
fn stand_in() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || refuse(&stream));
        }
    });
    url
}

/// Answers every request once it is whole.
fn refuse(stream: &TcpStream) {
    let mut lines = BufReader::new(stream);
    let (mut line, mut promised) = (String::new(), 0);
    while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            promised = value.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            let mut body = vec![0; std::mem::take(&mut promised)];
            let mut stream = stream;
            if lines.read_exact(&mut body).is_err()
                || stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").is_err()
            {
                return;
            }
        }
        line.clear();
    }
}

/// The peak memory of each function after some work: logins with the hash that is deployed, refreshes, revocations.
async fn peaks(folder: &Path, functions: &[String]) -> Vec<(String, u64)> {
    let stack = Setup::default().binaries(folder).deployed_hashing().start();
    let tenant = Tenant::create_with(&stack, "RS256", json!({})).await;
    for _ in 0..20 {
        let session = tenant.login().await;
        let next = tenant.rotate(&session.refresh).await;
        tenant.sessions(&next.access).await.expect(200);
        tenant.revoke(&next.refresh).await.expect(200);
        tenant.jwks().await;
    }
    functions.iter().map(|name| (name.clone(), most(&stack, name))).collect()
}

fn most(stack: &Stack, function: &str) -> u64 {
    stack.instances_of(function).into_iter().map(peak_memory).max().unwrap_or(0)
}

/// What the first random byte of a process costs: the median of processes that do nothing else.
fn first_random_byte() -> Duration {
    let own = std::env::current_exe().expect("the path of this program");
    let mut times: Vec<u64> = (0..11)
        .map(|_| {
            let ran = Command::new(&own).arg("first-random-byte").output().expect("it runs");
            String::from_utf8_lossy(&ran.stdout).trim().parse().expect("nanoseconds")
        })
        .collect();
    times.sort_unstable();
    Duration::from_nanos(times[times.len() / 2])
}
