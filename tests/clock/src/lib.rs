//! Moves the wall clock of a running process from outside.
//!
//! The product has no test mode for time: it reads the system's clock and nothing else. Tests of windows that last
//! days preload this library (`LD_PRELOAD`) into the function processes. It answers `clock_gettime` for the real-time
//! clocks, `gettimeofday` and `time` with the kernel's time plus an offset in milliseconds, which it reads from the
//! file named by `LEASEHOLD_TEST_CLOCK`: eight bytes, a native-endian `i64`, mapped into memory, so a write by the test
//! moves every process at once. Monotonic clocks, and with them all time-outs, run on unmoved.
//!
//! It must never fail or panic: without the variable or the file the offset is zero.

use std::ffi::{c_int, c_long, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

const CLOCK_REALTIME: c_int = 0;
const CLOCK_REALTIME_COARSE: c_int = 5;
const PROT_READ: c_int = 1;
const MAP_SHARED: c_int = 1;

#[cfg(target_arch = "x86_64")]
const SYS_CLOCK_GETTIME: c_long = 228;
#[cfg(target_arch = "aarch64")]
const SYS_CLOCK_GETTIME: c_long = 113;

/// `struct timespec` of 64-bit Linux.
#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanoseconds: i64,
}

/// `struct timeval` of 64-bit Linux.
#[repr(C)]
pub struct Timeval {
    seconds: i64,
    microseconds: i64,
}

unsafe extern "C" {
    fn syscall(number: c_long, ...) -> c_long;
    fn mmap(
        address: *mut c_void,
        length: usize,
        protection: c_int,
        flags: c_int,
        file: c_int,
        offset: i64,
    ) -> *mut c_void;
}

fn offset_milliseconds() -> i64 {
    static OFFSET: OnceLock<Option<&'static AtomicI64>> = OnceLock::new();
    OFFSET.get_or_init(map_offset).map_or(0, |offset| offset.load(Ordering::Relaxed))
}

/// Maps the file for the life of the process.
fn map_offset() -> Option<&'static AtomicI64> {
    let file = File::open(std::env::var_os("LEASEHOLD_TEST_CLOCK")?).ok()?;
    if file.metadata().ok()?.len() < 8 {
        return None;
    }
    // SAFETY: plain arguments; the kernel picks the address and the result is checked. The mapping outlives the
    // descriptor and is never unmapped.
    let address = unsafe { mmap(ptr::null_mut(), 8, PROT_READ, MAP_SHARED, file.as_raw_fd(), 0) };
    if address.is_null() || address as isize == -1 {
        return None;
    }
    // SAFETY: a mapping is page-aligned, at least 8 readable bytes long and lives for ever; the test writes the eight
    // bytes with one `pwrite`, and this side only loads them atomically.
    Some(unsafe { &*address.cast::<AtomicI64>() })
}

fn moved(clock: c_int) -> Result<Timespec, c_int> {
    let mut now = Timespec { seconds: 0, nanoseconds: 0 };
    // SAFETY: `now` is a valid, writable `struct timespec`; the kernel checks the clock id.
    let result = unsafe { syscall(SYS_CLOCK_GETTIME, c_long::from(clock), &raw mut now) };
    if result != 0 {
        return Err(-1);
    }
    if clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE {
        let offset = offset_milliseconds();
        let nanoseconds = now.nanoseconds + offset.rem_euclid(1000) * 1_000_000;
        now.seconds += offset.div_euclid(1000) + nanoseconds / 1_000_000_000;
        now.nanoseconds = nanoseconds % 1_000_000_000;
    }
    Ok(now)
}

/// `clock_gettime(2)`; real-time clocks are moved by the offset.
///
/// # Safety
/// As for the C function: `out` points to a writable `struct timespec`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_gettime(clock: c_int, out: *mut Timespec) -> c_int {
    match moved(clock) {
        Ok(now) => {
            // SAFETY: the caller's promise.
            unsafe { out.write(now) };
            0
        }
        Err(code) => code,
    }
}

/// `gettimeofday(2)`, moved by the offset. The time zone is left alone, as the C library does today.
///
/// # Safety
/// As for the C function: `out` is null or points to a writable `struct timeval`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn gettimeofday(out: *mut Timeval, _zone: *mut c_void) -> c_int {
    match moved(CLOCK_REALTIME) {
        Ok(now) if !out.is_null() => {
            let value = Timeval { seconds: now.seconds, microseconds: now.nanoseconds / 1000 };
            // SAFETY: not null, and the caller's promise.
            unsafe { out.write(value) };
            0
        }
        Ok(_) => 0,
        Err(code) => code,
    }
}

/// `time(2)`, moved by the offset.
///
/// # Safety
/// As for the C function: `out` is null or points to a writable `time_t`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn time(out: *mut i64) -> i64 {
    let seconds = moved(CLOCK_REALTIME).map_or(-1, |now| now.seconds);
    if !out.is_null() {
        // SAFETY: not null, and the caller's promise.
        unsafe { out.write(seconds) };
    }
    seconds
}
