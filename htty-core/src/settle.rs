//! Whether the command has done what there was to do: every task of its
//! process tree sleeps and has not run since the look before (proc(5)).

use std::time::Duration;

/// Between two looks at least so much time passes.
pub(crate) const GAP: Duration = Duration::from_millis(1);

/// What one look at the command saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether no task ran or was about to.
    pub(crate) asleep: bool,
    /// Each task with the nanoseconds that it has run, and how often it was
    /// given a processor.
    tasks: Vec<(u32, u64, u64)>,
}

impl Look {
    /// The nanoseconds that all tasks have run.
    pub(crate) fn ran(&self) -> u64 {
        self.tasks.iter().map(|(_, ran, _)| ran).sum()
    }
}

/// Looks at all descendants of the process `pid`; `None` where there are none,
/// or the system does not tell.
pub(crate) fn look(pid: u32) -> Option<Look> {
    let mut look = Look { asleep: true, tasks: Vec::new() };
    for_each_task(pid, &mut |task| {
        // The state follows the name, which may hold anything, in parentheses.
        let stat = read(&format!("{task}/stat"))?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        look.asleep &= !matches!(state, 'R' | 'D');
        let times = read(&format!("{task}/schedstat"))?;
        let mut times = times.split_ascii_whitespace().map(str::parse::<u64>);
        let (ran, _, slices) = (times.next()?.ok()?, times.next()?, times.next()?.ok()?);
        let id = task.rsplit('/').next()?.parse().ok()?;
        look.tasks.push((id, ran, slices));
        Some(())
    });
    (!look.tasks.is_empty()).then_some(look)
}

/// All descendants of the process `pid`; none where the system does not tell.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for_each_task(pid, &mut |task| {
        let mut parts = task.split('/').skip(2);
        let process = parts.next()?.parse().ok()?;
        if found.last() != Some(&process) {
            found.push(process);
        }
        Some(())
    });
    found
}

/// Calls `visit` with the folder of each descendant's tasks. One that ends while
/// it is looked at is left out.
fn for_each_task(pid: u32, visit: &mut dyn FnMut(&str) -> Option<()>) {
    let mut processes = vec![pid];
    while let Some(process) = processes.pop() {
        let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { continue };
        for task in tasks.flatten() {
            let task = task.path();
            let Some(task) = task.to_str() else { continue };
            let children = read(&format!("{task}/children")).unwrap_or_default();
            processes.extend(children.split_ascii_whitespace().filter_map(|child| child.parse::<u32>().ok()));
            if process != pid {
                visit(task);
            }
        }
    }
}

fn read(path: &str) -> Option<String> {
    Some(String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Command, Stdio};

    use super::{Look, descendants, look};

    /// Waits until the look that this gives is as wished.
    fn until(wished: impl Fn(&Look) -> bool) -> Look {
        loop {
            match look(std::process::id()) {
                Some(look) if wished(&look) => return look,
                _ => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn sleepers_are_asleep_until_they_run() {
        let script = "cat; while :; do :; done";
        let mut shell = Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        while descendants(std::process::id()).len() < 2 {
            std::thread::yield_now();
        }
        let asleep = until(|look| look.asleep);
        drop(shell.stdin.take());
        let running = until(|look| !look.asleep);
        assert_ne!(asleep, running);
        until(|look| look.ran() > asleep.ran());
        shell.kill().unwrap();
        shell.wait().unwrap();
        assert_eq!(look(std::process::id()), None);
    }
}
