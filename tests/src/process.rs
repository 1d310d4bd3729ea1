//! What the kernel tells about processes: who owns a connection, whose child is whose; and the way to kill one.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A loopback connection, by the addresses of both its ends: the kernel gives one port to several callers at once, as
/// long as they call different places.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    /// The end of the process that called.
    pub caller: SocketAddr,
    /// The end that was called.
    pub called: SocketAddr,
}

/// The process that called.
pub fn caller_of(connection: Connection) -> Option<u32> {
    let inode = inode_of(connection)?;
    let wanted = format!("socket:[{inode}]");
    processes().into_iter().find(|pid| {
        let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to == Path::new(&wanted)))
    })
}

fn inode_of(connection: Connection) -> Option<u64> {
    let ends = [connection.caller, connection.called].map(|end| format!(":{:04X}", end.port()));
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let joins = fields.get(1)?.ends_with(&ends[0]) && fields.get(2)?.ends_with(&ends[1]);
        (joins && fields.get(3) == Some(&"01")).then(|| fields.get(9)?.parse().ok())?
    })
}

fn processes() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The program a process runs, under the name that it had when it started: a build may have put another in its place.
pub fn program(pid: u32) -> Option<PathBuf> {
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let name = path.to_str()?;
    Some(PathBuf::from(name.strip_suffix(" (deleted)").unwrap_or(name)))
}

/// Memory in use (resident, in KiB) and open descriptors of a process; `None` when it has gone.
pub fn resources(pid: u32) -> Option<(u64, usize)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let resident = line.split_whitespace().next()?.parse().ok()?;
    Some((resident, fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count()))
}

/// All processes in a process group that run the named program.
pub fn members(group: u32, name: &str) -> Vec<u32> {
    let in_group = |pid: &u32| stat(*pid).is_some_and(|(_, of)| of == group);
    let named =
        |pid: &u32| program(*pid).is_some_and(|path| path.file_name().is_some_and(|file| file == name));
    processes().into_iter().filter(in_group).filter(named).collect()
}

/// Whether any process of the group still runs.
pub fn group_runs(group: u32) -> bool {
    processes().into_iter().filter_map(stat).any(|(state, of)| of == group && state != 'Z')
}

/// State letter and process group, from `/proc/<pid>/stat`; the program's name in it may hold anything.
fn stat(pid: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

/// Sends a signal by name to a process, or with a negative id to a process group.
pub fn signal(name: &str, target: i64) {
    // Fails when the target has gone, which is what the signal was for.
    drop(Command::new("kill").arg(format!("-{name}")).arg("--").arg(target.to_string()).output());
}

/// `kill -9`, and returns when the process is gone.
pub fn kill_now(pid: u32) {
    signal("KILL", i64::from(pid));
    let deadline = Instant::now() + Duration::from_secs(5);
    while stat(pid).is_some_and(|(state, _)| state != 'Z') {
        assert!(Instant::now() < deadline, "process {pid} outlives SIGKILL");
        sleep(Duration::from_millis(1));
    }
}

/// What so many invocations leave behind in a process, in KiB: the Lambda runtime puts each trace id into the environment,
/// and glibc keeps every text that was ever there (`shared/docs/performance.md`, "Memory").
pub fn left_by(invocations: u64) -> u64 {
    invocations * 256 / 1024
}
