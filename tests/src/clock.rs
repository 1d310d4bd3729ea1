//! A clock for one stack that a test can move while the stack runs.
//!
//! The offset lives in a file that the preloaded library `leasehold-test-clock` maps into every process of the stack.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use crate::settings;

/// The offset file of one stack.
pub struct Clock {
    path: PathBuf,
    file: File,
    milliseconds: AtomicI64,
}

impl Clock {
    /// A clock that starts unmoved.
    pub fn start() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-clock-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        fs::create_dir_all(settings::scratch()).expect("the scratch folder");
        let path = settings::scratch().join(name);
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&path)
            .expect("a writable clock file");
        let clock = Self { path, file, milliseconds: AtomicI64::new(0) };
        clock.write(0);
        clock
    }

    /// The file to name in `LEASEHOLD_TEST_CLOCK`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The library to name in `LD_PRELOAD`.
    pub fn library() -> PathBuf {
        let library = settings::binaries().join("libleasehold_test_clock.so");
        assert!(library.exists(), "{} is missing: cargo build --workspace first", library.display());
        library
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).expect("a span that fits");
        self.write(self.milliseconds.load(Ordering::SeqCst) + by);
    }

    /// Sets the clock back.
    pub fn set_back(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).expect("a span that fits");
        self.write(self.milliseconds.load(Ordering::SeqCst) - by);
    }

    /// Sets the clock to so many seconds since the epoch.
    pub fn set(&self, seconds: i64) {
        self.write((seconds - now()) * 1000);
    }

    /// What the stack takes for now, in seconds since the epoch.
    pub fn now(&self) -> i64 {
        now() + self.milliseconds.load(Ordering::SeqCst).div_euclid(1000)
    }

    fn write(&self, milliseconds: i64) {
        self.milliseconds.store(milliseconds, Ordering::SeqCst);
        self.file.write_all_at(&milliseconds.to_ne_bytes(), 0).expect("eight bytes");
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        // Absent already when another run has cleaned up: nothing to do then.
        drop(fs::remove_file(&self.path));
    }
}

/// The machine's own time in seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "the tests compare what the service says with the real time")]
pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(since.as_secs()).expect("a time before the year 292 billion")
}
