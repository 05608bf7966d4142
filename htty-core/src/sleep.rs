//! Determines how long a sleeping task sleeps at most, from the timeout of its system call
//! (proc(5), `/proc/PID/syscall`).

use std::time::Duration;

/// What a task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// An event, without a timeout.
    Forever,
    /// An event, with this timeout from the start of the wait.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "only Linux provides timeouts"))]
    Timed(Duration),
    /// The system does not provide this information.
    Unknown,
}

/// What the sleeping task with this directory in `/proc` waits for.
#[cfg(target_os = "linux")]
pub(crate) fn wait(task_dir: &str) -> Wait {
    // `NUMBER ARGUMENT… SP PC`, or `-1 SP PC` outside of a call, or `running`.
    let Ok(text) = std::fs::read_to_string(format!("{task_dir}/syscall")) else { return Wait::Unknown };
    let mut fields = text.split_ascii_whitespace();
    let Some(number) = fields.next().and_then(|field| field.parse::<libc::c_long>().ok()) else {
        return Wait::Unknown;
    };
    let arguments: Vec<u64> =
        fields.filter_map(|field| u64::from_str_radix(field.trim_start_matches("0x"), 16).ok()).collect();
    let [first, second, third, fourth, fifth, ..] = arguments[..] else { return Wait::Forever };
    let timeout = match number {
        libc::SYS_epoll_pwait => Timeout::Milliseconds(fourth),
        libc::SYS_ppoll | libc::SYS_rt_sigtimedwait => Timeout::Seconds(third),
        libc::SYS_pselect6 => Timeout::Seconds(fifth),
        libc::SYS_epoll_pwait2 => Timeout::Seconds(fourth),
        libc::SYS_nanosleep => Timeout::Seconds(first),
        libc::SYS_clock_nanosleep if second & 1 == 0 => Timeout::Seconds(third),
        libc::SYS_clock_nanosleep => Timeout::Until(third, first == 0),
        libc::SYS_futex => futex(second, fourth),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_poll => Timeout::Milliseconds(third),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_epoll_wait => Timeout::Milliseconds(fourth),
        #[cfg(target_arch = "x86_64")]
        libc::SYS_select => Timeout::Microseconds(fifth),
        _ => Timeout::None,
    };
    timeout.read(task_dir)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn wait(_: &str) -> Wait {
    Wait::Unknown
}

/// The timeout argument of a system call.
#[cfg(target_os = "linux")]
enum Timeout {
    None,
    /// No timeout if it is negative.
    Milliseconds(u64),
    /// The address of a `timeval`; newer architectures have no such call.
    #[cfg(target_arch = "x86_64")]
    Microseconds(u64),
    /// The address of a `timespec`.
    Seconds(u64),
    /// The address of a `timespec` with an absolute time, by the realtime clock (`true`) or the
    /// monotonic clock.
    Until(u64, bool),
}

#[cfg(target_os = "linux")]
fn futex(operation: u64, time: u64) -> Timeout {
    // Flags: FUTEX_PRIVATE_FLAG (128), FUTEX_CLOCK_REALTIME (256).
    match operation & 127 {
        // FUTEX_WAIT has a relative timeout, FUTEX_WAIT_BITSET and FUTEX_LOCK_PI2 an absolute one.
        0 => Timeout::Seconds(time),
        9 | 13 => Timeout::Until(time, operation & 256 != 0),
        _ => Timeout::None,
    }
}

#[cfg(target_os = "linux")]
impl Timeout {
    fn read(self, task_dir: &str) -> Wait {
        use rustix::time::{ClockId, clock_gettime};

        let (address, unit) = match self {
            Self::None | Self::Seconds(0) | Self::Until(0, _) => return Wait::Forever,
            #[cfg(target_arch = "x86_64")]
            Self::Microseconds(0) => return Wait::Forever,
            Self::Milliseconds(time) => {
                // An int in a wider register.
                #[allow(clippy::cast_possible_truncation, reason = "the upper half has no meaning")]
                let time = (time as u32).cast_signed();
                return u64::try_from(time)
                    .map_or(Wait::Forever, |time| Wait::Timed(Duration::from_millis(time)));
            }
            #[cfg(target_arch = "x86_64")]
            Self::Microseconds(address) => (address, 1000),
            Self::Seconds(address) | Self::Until(address, _) => (address, 1),
        };
        let Some((seconds, fraction)) = read_pair(task_dir, address) else { return Wait::Unknown };
        let nanoseconds = u64::try_from(fraction).unwrap_or_default().saturating_mul(unit);
        let time = Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
            .saturating_add(Duration::from_nanos(nanoseconds));
        let Self::Until(_, realtime) = self else { return Wait::Timed(time) };
        let now = clock_gettime(if realtime { ClockId::Realtime } else { ClockId::Monotonic });
        let now = Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default());
        Wait::Timed(time.saturating_sub(now))
    }
}

/// Reads two 64-bit integers from the task's memory.
#[cfg(target_os = "linux")]
fn read_pair(task_dir: &str, address: u64) -> Option<(i64, i64)> {
    use std::os::unix::fs::FileExt as _;

    let memory = std::fs::File::open(format!("{task_dir}/mem")).ok()?;
    let mut bytes = [0; 16];
    memory.read_exact_at(&mut bytes, address).ok()?;
    let (first, second) = bytes.split_at(8);
    Some((i64::from_ne_bytes(first.try_into().ok()?), i64::from_ne_bytes(second.try_into().ok()?)))
}
