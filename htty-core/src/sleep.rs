//! How long a sleeping task sleeps, if nothing happens: the system call that it
//! is in, and that call's timeout (proc(5), `/proc/PID/syscall`).

use std::time::Duration;

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// An event from outside.
    Forever,
    /// An event, or this time, counted from when it began to wait.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux tells"))]
    Timed(Duration),
    /// The system does not tell.
    Unknown,
}

/// What the sleeping task waits for whose directory in `/proc` this is.
#[cfg(target_os = "linux")]
pub(crate) fn wait(place: &str) -> Wait {
    // "NUMBER ARGUMENT… SP PC", or "-1 SP PC" outside of a call, or "running".
    let Ok(text) = std::fs::read_to_string(format!("{place}/syscall")) else { return Wait::Unknown };
    let mut words = text.split_ascii_whitespace();
    let Some(number) = words.next().and_then(|word| word.parse::<libc::c_long>().ok()) else {
        return Wait::Unknown;
    };
    let arguments: Vec<u64> =
        words.filter_map(|word| u64::from_str_radix(word.trim_start_matches("0x"), 16).ok()).collect();
    let [first, second, third, fourth, fifth, ..] = arguments[..] else { return Wait::Forever };
    let time = match number {
        libc::SYS_epoll_pwait => Time::Milliseconds(fourth),
        libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => Time::Seconds(third),
        libc::SYS_pselect6 => Time::Seconds(fifth),
        libc::SYS_epoll_pwait2 => Time::Seconds(fourth),
        libc::SYS_nanosleep => Time::Seconds(first),
        libc::SYS_clock_nanosleep if second & 1 == 0 => Time::Seconds(third),
        libc::SYS_clock_nanosleep => Time::Until(third, first == 0),
        libc::SYS_futex => futex(second, fourth),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => Time::Milliseconds(third),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => Time::Milliseconds(fourth),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => Time::Microseconds(fifth),
        _ => Time::None,
    };
    time.read(place)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn wait(_: &str) -> Wait {
    Wait::Unknown
}

/// A timeout as a system call takes it.
#[cfg(target_os = "linux")]
enum Time {
    None,
    /// None where it is negative.
    Milliseconds(u64),
    /// The address of a `timeval`; newer machines have no such call.
    #[cfg(target_arch = "x86_64")]
    Microseconds(u64),
    /// The address of a `timespec`.
    Seconds(u64),
    /// The address of a `timespec`, the moment at which it ends; by the clock of
    /// the day, or by that since the start.
    Until(u64, bool),
}

#[cfg(target_os = "linux")]
fn futex(operation: u64, time: u64) -> Time {
    // The flags are for private ones (128) and for the clock of the day (256).
    match operation & 127 {
        // FUTEX_WAIT, and FUTEX_WAIT_BITSET, FUTEX_LOCK_PI2 with an end.
        0 => Time::Seconds(time),
        9 | 13 => Time::Until(time, operation & 256 != 0),
        _ => Time::None,
    }
}

#[cfg(target_os = "linux")]
impl Time {
    fn read(self, place: &str) -> Wait {
        use rustix::time::{ClockId, clock_gettime};

        let (address, unit) = match self {
            Self::None | Self::Seconds(0) | Self::Until(0, _) => return Wait::Forever,
            #[cfg(target_arch = "x86_64")]
            Self::Microseconds(0) => return Wait::Forever,
            Self::Milliseconds(time) => {
                // An int, in a register that is wider.
                #[allow(clippy::cast_possible_truncation, reason = "the upper half has no meaning")]
                let time = (time as u32).cast_signed();
                return u64::try_from(time)
                    .map_or(Wait::Forever, |time| Wait::Timed(Duration::from_millis(time)));
            }
            #[cfg(target_arch = "x86_64")]
            Self::Microseconds(address) => (address, 1000),
            Self::Seconds(address) | Self::Until(address, _) => (address, 1),
        };
        let Some((seconds, rest)) = pair(place, address) else { return Wait::Unknown };
        let part = u64::try_from(rest).unwrap_or_default().saturating_mul(unit);
        let time = Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            .saturating_add(Duration::from_nanos(part));
        let Self::Until(_, of_day) = self else { return Wait::Timed(time) };
        let now = clock_gettime(if of_day { ClockId::Realtime } else { ClockId::Monotonic });
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
        Wait::Timed(time.saturating_sub(now))
    }
}

/// Two long integers of the task's memory.
#[cfg(target_os = "linux")]
fn pair(place: &str, address: u64) -> Option<(i64, i64)> {
    use std::os::unix::fs::FileExt as _;

    let memory = std::fs::File::open(format!("{place}/mem")).ok()?;
    let mut bytes = [0; 16];
    memory.read_exact_at(&mut bytes, address).ok()?;
    let (first, second) = bytes.split_at(8);
    Some((i64::from_ne_bytes(first.try_into().ok()?), i64::from_ne_bytes(second.try_into().ok()?)))
}
