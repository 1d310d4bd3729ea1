//! The command as a user runs it: ready line, clean stop, and nothing left behind however it ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::world::{eventually, folder, runs};
use rustix::process::{Pid, Signal, kill_process};

fn start(folder: &Path) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_leasehold-local"))
        .args(["--port", "0", "--instances", "2"])
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--bin-dir")
        .arg(folder.join("bin"))
        .arg("--template")
        .arg(folder.join("template.yaml"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said: Vec<String> = lines.map(Result::unwrap).take_while(|line| line != "ready").collect();
    assert!(said.iter().any(|line| line.contains("Leasehold answers at http://localhost:")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("ada@acme.example")), "{said:?}");
    assert!(folder.join("data/seed.json").exists(), "seed.json is there when it is ready");
    child
}

fn children(of: u32) -> Vec<u64> {
    let path = format!("/proc/{of}/task");
    let tasks = fs::read_dir(path).unwrap().flatten();
    let lists = tasks.map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default());
    lists
        .flat_map(|list| list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u64>>())
        .collect()
}

fn send(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[tokio::test]
async fn signals_stop_everything_cleanly() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut child = start(&folder());
        let functions = children(child.id());
        assert_eq!(functions.len(), 8, "one process per instance");
        send(&child, signal);
        assert!(child.wait().unwrap().success());
        assert!(functions.iter().all(|pid| !runs(*pid)));
    }
}

#[tokio::test]
async fn functions_do_not_outlive_a_killed_stack() {
    let folder = folder();
    let mut child = start(&folder);
    let functions = children(child.id());
    send(&child, Signal::KILL);
    child.wait().unwrap();
    eventually("the functions end", || functions.iter().all(|pid| !runs(*pid))).await;
    // What the killed stack left does not keep the next from starting.
    let mut child = start(&folder);
    send(&child, Signal::TERM);
    assert!(child.wait().unwrap().success());
}

#[test]
fn taken_port_is_a_clear_message() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let output = Command::new(env!("CARGO_BIN_EXE_leasehold-local"))
        .args(["--port", &port.to_string(), "--data"])
        .arg(folder().join("data"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains(&format!("port {port} for the gateway is taken")), "{said}");
    assert!(said.contains("--port"), "{said}");
}
