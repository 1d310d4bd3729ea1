//! The local stack, started as its users start it: the `leasehold-local` binary with flags.
//!
//! A stack must never outlive its tests, however they end. It runs in a process group of its own, and a watchdog that
//! holds a pipe to this process ends the whole group when the pipe closes: on drop, on a panic, on `kill -9`.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::clock::Clock;
use crate::http::{Call, Http, Reply, fail};
use crate::process;
use crate::proxy::Proxy;
use crate::settings;

const READY_WITHIN: Duration = Duration::from_mins(1);
/// How a test says that `STACK` is of no use to it. `make deploy-local` leaves tests out that fail with these words.
const OWN: &str = "this test needs a stack of its own";
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// How a stack is to be started.
#[derive(Clone, Debug)]
pub struct Setup {
    data: Option<PathBuf>,
    port: u16,
    policy: Option<PathBuf>,
    instances: u32,
    seed: bool,
    fixed: Option<(u16, u16)>,
    functions: Option<(String, String)>,
    schedule_seconds: u32,
    function_env: Vec<(String, String)>,
    clock: Option<PathBuf>,
    binaries: Option<PathBuf>,
    public_url: Option<String>,
}

impl Default for Setup {
    fn default() -> Self {
        let cheap = [
            ("ARGON2_MEMORY_KIB", "256"),
            ("ARGON2_ITERATIONS", "1"),
            ("LOGIN_ACCOUNT_LIMIT", "100000"),
            ("LOGIN_ADDRESS_LIMIT", "100000"),
            // Calls to AWS are counted by some tests; those of the health counters have their own.
            ("HEALTH_FLUSH_SECONDS", "86400"),
        ];
        Self {
            data: None,
            port: 0,
            policy: None,
            instances: 1,
            seed: false,
            fixed: None,
            functions: settings::witness(),
            schedule_seconds: 3600,
            function_env: cheap.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            clock: None,
            binaries: None,
            public_url: None,
        }
    }
}

impl Setup {
    /// Processes per function.
    #[must_use]
    pub fn instances(mut self, instances: u32) -> Self {
        self.instances = instances;
        self
    }

    /// Answers on this port, so that issuers stay the same over a restart.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Keeps the data in this folder, for a later start on the same data.
    #[must_use]
    pub fn data(mut self, folder: &Path) -> Self {
        self.data = Some(folder.to_owned());
        self
    }

    /// Gives the example tenants the policy in this file.
    #[must_use]
    pub fn policy(mut self, file: &Path) -> Self {
        self.policy = Some(file.to_owned());
        self
    }

    /// Creates the two example tenants.
    #[must_use]
    pub fn seed(mut self) -> Self {
        self.seed = true;
        self
    }

    /// A setting of the functions; replaces an earlier one of that name.
    #[must_use]
    pub fn function_env(mut self, name: &str, value: &str) -> Self {
        self.function_env.retain(|(known, _)| known != name);
        self.function_env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The hash parameters that are deployed, instead of cheap ones.
    #[must_use]
    pub fn deployed_hashing(mut self) -> Self {
        self.function_env.retain(|(known, _)| !known.starts_with("ARGON2_"));
        self
    }

    /// Runs function binaries from this folder, instead of those built with the tests.
    #[must_use]
    pub fn binaries(mut self, folder: &Path) -> Self {
        self.binaries = Some(folder.to_owned());
        self
    }

    /// Puts a proxy between the functions and AWS.
    #[must_use]
    pub fn through(mut self, proxy: &Proxy) -> Self {
        // The proxy passes on to a witness where there is one, and to the embedded services otherwise.
        self.fixed = settings::witness().is_none().then(|| (proxy.dynamodb_upstream(), proxy.kms_upstream()));
        self.functions = Some((proxy.dynamodb_url(), proxy.kms_url()));
        self
    }

    /// Points the functions at other endpoints than the embedded ones.
    #[must_use]
    pub fn endpoints(mut self, dynamodb: &str, kms: &str) -> Self {
        self.functions = Some((dynamodb.to_owned(), kms.to_owned()));
        self
    }

    /// Issues tokens in another stack's name: the same service, in another place. It still answers on a port of its own.
    #[must_use]
    pub fn public_url(mut self, url: &str) -> Self {
        self.public_url = Some(url.to_owned());
        self.port = free_port();
        self
    }

    /// Lets this clock rule the whole stack.
    #[must_use]
    pub fn clock(mut self, clock: &Clock) -> Self {
        self.clock = Some(clock.path().to_owned());
        self
    }

    /// Starts the stack and waits until it answers.
    pub fn start(self) -> Stack {
        assert!(settings::deployed().is_none(), "{OWN}");
        let data = self.data.clone().unwrap_or_else(fresh_folder);
        fs::create_dir_all(&data).expect("a data folder");
        let ready = data.join("seed.json");
        // A leftover of an earlier start on the same data would look like readiness.
        drop(fs::remove_file(&ready));
        let log = data.join("stack.log");
        let mut child = self.command(&data, &log).spawn().expect("leasehold-local starts");
        let watchdog = watch(child.id());
        let deadline = Instant::now() + READY_WITHIN;
        let seed = loop {
            if let Some(seed) = fs::read(&ready).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
                break seed;
            }
            if let Ok(Some(status)) = child.try_wait() {
                fail(&format!("the stack ended with {status}:\n{}", tail(&log)));
            }
            assert!(Instant::now() < deadline, "the stack is not ready in time:\n{}", tail(&log));
            sleep(Duration::from_millis(10));
        };
        // `base_url` of seed.json is the public one.
        let listens = self.public_url.as_ref().map(|_| format!("http://localhost:{}", self.port));
        Stack { processes: Some(Processes { child, watchdog }), data, seed, listens }
    }

    fn command(&self, data: &Path, log: &Path) -> Command {
        let binary = settings::binaries().join("leasehold-local");
        assert!(binary.exists(), "{} is missing: cargo build --workspace first", binary.display());
        let (dynamodb, kms) = self.fixed.unwrap_or((0, 0));
        let mut command = Command::new(binary);
        command.args(["--lambda-port", "0", "--port"]).arg(self.port.to_string()).arg("--data").arg(data);
        command.arg("--dynamodb-port").arg(dynamodb.to_string());
        command.arg("--kms-port").arg(kms.to_string());
        command.arg("--instances").arg(self.instances.to_string());
        command.arg("--schedule-seconds").arg(self.schedule_seconds.to_string());
        if !self.seed {
            command.arg("--no-seed");
        }
        if let Some(folder) = &self.binaries {
            command.arg("--bin-dir").arg(folder);
        }
        if let Some(url) = &self.public_url {
            command.args(["--public-url", url]);
        }
        if let Some(policy) = &self.policy {
            command.arg("--policy").arg(policy);
        }
        if let Some((dynamodb, kms)) = &self.functions {
            command.args(["--functions-dynamodb-url", dynamodb, "--functions-kms-url", kms]);
        }
        for (name, value) in &self.function_env {
            command.arg("--function-env").arg(format!("{name}={value}"));
        }
        if let Some(clock) = &self.clock {
            let library = Clock::library();
            command.arg("--function-env").arg(format!("LD_PRELOAD={}", library.display()));
            command.arg("--function-env").arg(format!("LEASEHOLD_TEST_CLOCK={}", clock.display()));
            command.env("LD_PRELOAD", library).env("LEASEHOLD_TEST_CLOCK", clock);
        }
        let out = File::create(log).expect("a log file");
        let err = out.try_clone().expect("a second handle");
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        command
    }
}

/// A running stack.
pub struct Stack {
    processes: Option<Processes>,
    data: PathBuf,
    seed: Value,
    listens: Option<String>,
}

/// The processes of a stack that these tests started.
struct Processes {
    child: Child,
    watchdog: Child,
}

impl Stack {
    /// The stack that a `seed.json` describes, started by somebody else.
    fn deployed(seed: &Path) -> Self {
        let read = fs::read(seed).expect("the file that STACK names");
        let seed_value = serde_json::from_slice(&read).expect("JSON");
        Self {
            processes: None,
            data: seed.parent().expect("a folder").to_owned(),
            seed: seed_value,
            listens: None,
        }
    }

    fn group(&self) -> u32 {
        self.processes.as_ref().expect(OWN).child.id()
    }

    /// Where the gateway answers.
    pub fn base_url(&self) -> String {
        if let Some(listens) = &self.listens {
            return listens.clone();
        }
        self.seed["base_url"].as_str().expect("base_url in seed.json").trim_end_matches('/').to_owned()
    }

    /// Where the gateway listens.
    pub fn gateway(&self) -> SocketAddr {
        let url = self.base_url();
        let host = url.strip_prefix("http://").expect("http").replace("localhost", "127.0.0.1");
        // A deployed one answers by a name of its own.
        host.parse().expect(OWN)
    }

    /// One of the AWS endpoints: `dynamodb`, `kms` or `lambda`; a witness's where there is one.
    pub fn endpoint(&self, service: &str) -> String {
        match (service, settings::witness()) {
            ("dynamodb", Some((url, _))) | ("kms", Some((_, url))) => {
                return url.trim_end_matches('/').to_owned();
            }
            _ => {}
        }
        let url = self.seed["endpoints"][service].as_str().expect(OWN);
        url.trim_end_matches('/').to_owned()
    }

    /// `seed.json` as written.
    pub fn seed(&self) -> &Value {
        &self.seed
    }

    /// The data folder.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The pids of a function's instances.
    pub fn instances_of(&self, function: &str) -> Vec<u32> {
        process::members(self.group(), function)
    }

    /// Everything the functions and the stack have logged.
    pub fn logs(&self) -> String {
        let mut text = fs::read_to_string(self.data.join("stack.log")).unwrap_or_default();
        let Ok(files) = fs::read_dir(self.data.join("logs")) else { return text };
        for file in files.flatten() {
            text.push_str(&String::from_utf8_lossy(&fs::read(file.path()).unwrap_or_default()));
        }
        text
    }

    /// Calls the operator function as AWS's Invoke API does and hands back the HTTP reply.
    pub async fn invoke(&self, http: &Http, command: &Value) -> Result<Reply, String> {
        let url = format!("{}/2015-03-31/functions/operator/invocations", self.endpoint("lambda"));
        Call::post(url).json(command).try_send(http).await
    }

    /// Runs an operator command that must succeed and hands back what is under `ok`.
    pub async fn operator(&self, http: &Http, command: &Value) -> Value {
        let reply = self.invoke(http, command).await.unwrap_or_else(|error| fail(&error));
        let answer = reply.json();
        answer.get("ok").cloned().unwrap_or_else(|| fail(&format!("{} answered {reply}", command["op"])))
    }

    /// Runs an operator command that must be refused and hands back the code.
    pub async fn operator_refuses(&self, http: &Http, command: &Value) -> String {
        let reply = self.invoke(http, command).await.unwrap_or_else(|error| fail(&error));
        let answer = reply.json();
        let code = answer["error"]["code"].as_str();
        assert!(answer["error"]["message"].is_string(), "a refusal says why: {reply}");
        code.unwrap_or_else(|| fail(&format!("not refused: {reply}"))).to_owned()
    }

    /// Stops the stack as Ctrl-C does and returns the exit code; fails if a process stays behind.
    pub fn stop(&mut self) -> Option<i32> {
        process::signal("INT", i64::from(self.group()));
        self.gone()
    }

    /// `kill -9` for every process of the stack at once, as a power cut.
    pub fn cut_power(&mut self) {
        process::signal("KILL", -i64::from(self.group()));
        self.gone();
    }

    fn gone(&mut self) -> Option<i32> {
        let deadline = Instant::now() + GONE_WITHIN;
        loop {
            let group = self.group();
            let processes = self.processes.as_mut().expect(OWN);
            let ended = processes.child.try_wait().expect("a child");
            if let Some(status) = ended
                && !process::group_runs(group)
            {
                return status.code();
            }
            assert!(Instant::now() < deadline, "the stack, or a process of it, stays behind: {ended:?}");
            sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        let group = i64::from(self.child.id());
        process::signal("TERM", group);
        let deadline = Instant::now() + GONE_WITHIN;
        while process::group_runs(self.child.id()) && Instant::now() < deadline {
            sleep(Duration::from_millis(5));
        }
        process::signal("KILL", -group);
        drop(self.child.wait());
        // Closing the pipe sets the watchdog off, which finds nothing left; waiting for it leaves no zombie.
        drop(self.watchdog.stdin.take());
        drop(self.watchdog.wait());
    }
}

/// The stack that all tests share which neither spoil calls nor move time: three processes per function, or the stack that
/// `STACK` names.
pub fn shared() -> &'static Stack {
    static SHARED: OnceLock<Stack> = OnceLock::new();
    SHARED.get_or_init(|| match settings::deployed() {
        Some(seed) => Stack::deployed(&seed),
        None => Setup::default().instances(3).start(),
    })
}

/// A program that waits for its standard input to close and then ends the process group.
fn watch(group: u32) -> Child {
    let script = "cat >/dev/null; kill -s TERM $1 2>/dev/null; \
        for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
        kill -s 0 -- -$1 2>/dev/null || exit 0; sleep 0.1; done; kill -s KILL -- -$1 2>/dev/null";
    Command::new("sh")
        .args(["-c", script, "watchdog", &group.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh starts")
}

/// A new data folder. Folders of runs that are over are removed first; those of the last run stay for a look.
pub fn fresh_folder() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    static SWEPT: OnceLock<()> = OnceLock::new();
    SWEPT.get_or_init(|| {
        let Ok(entries) = fs::read_dir(settings::scratch()) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let pid = name.to_string_lossy().split('-').next().map(str::to_owned).unwrap_or_default();
            if !Path::new("/proc").join(pid).exists() {
                // A folder of a stack, or the file of a clock.
                drop(fs::remove_dir_all(entry.path()));
                drop(fs::remove_file(entry.path()));
            }
        }
    });
    settings::scratch().join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)))
}

/// A port that was free a moment ago, for settings that cannot be "any".
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
