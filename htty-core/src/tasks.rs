//! The state of the command's tasks: whether they run, and what they wait for (proc(5)).

use std::time::Duration;

use crate::sleep::{self, Wait};

/// The state of the command's tasks at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    /// Whether no task was running or runnable.
    pub(crate) asleep: bool,
    pub(crate) tasks: Vec<Task>,
    /// Whether the tasks have more than one controlling terminal.
    pub(crate) is_nested: bool,
}

/// A thread of the command.
///
/// Two samples of a thread are equal if it has not run in between. `wait` is read before the
/// other fields, so if two samples are equal, the second one's `wait` holds for the time
/// between them, even if the thread woke up while it was being read.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: u32,
    /// Nanoseconds of processor time.
    pub(crate) ran: u64,
    /// Nanoseconds spent waiting for a processor.
    pub(crate) delayed: u64,
    /// How often it was scheduled.
    pub(crate) slices: u64,
    pub(crate) wait: Wait,
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.ran, self.slices) == (other.id, other.ran, other.slices)
    }
}

impl Eq for Task {}

impl Sample {
    /// Nanoseconds of processor time of all tasks.
    pub(crate) fn ran(&self) -> u64 {
        self.tasks.iter().map(|task| task.ran).sum()
    }

    /// Nanoseconds that all tasks spent waiting for a processor.
    pub(crate) fn delayed(&self) -> u64 {
        self.tasks.iter().map(|task| task.delayed).sum()
    }

    /// The tasks that wait with a timeout of at most `longest`.
    pub(crate) fn timed(&self, longest: Duration) -> impl Iterator<Item = u32> + '_ {
        let within = move |task: &&Task| matches!(task.wait, Wait::Timed(time) if time <= longest);
        self.tasks.iter().filter(within).map(|task| task.id)
    }

    /// Whether it is known what each task waits for.
    pub(crate) fn is_known(&self) -> bool {
        self.tasks.iter().all(|task| task.wait != Wait::Unknown)
    }
}

/// Samples all descendants of the process `pid`; `None` if there are none, or if the system
/// does not provide this information.
pub(crate) fn sample(pid: u32) -> Option<Sample> {
    let mut sample = Sample { asleep: true, tasks: Vec::new(), is_nested: false };
    let mut terminal = None;
    for_each_task(pid, &mut |task_dir| {
        let wait = sleep::wait(task_dir);
        // The state follows the name, which is in parentheses and may contain anything.
        let stat = read(&format!("{task_dir}/stat"))?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        // Skip the parent, the process group and the session.
        let controlling = fields.nth(3)?;
        if controlling != "0" {
            sample.is_nested |= terminal.get_or_insert_with(|| controlling.to_owned()) != controlling;
        }
        sample.asleep &= !matches!(state, 'R' | 'D');
        let times = read(&format!("{task_dir}/schedstat"))?;
        let mut times = times.split_ascii_whitespace().map(str::parse::<u64>);
        let (ran, delayed, slices) = (times.next()?.ok()?, times.next()?.ok()?, times.next()?.ok()?);
        let id = task_dir.rsplit('/').next()?.parse().ok()?;
        // A stopped or exited task does not wake up by a timeout.
        let wait = if state == 'S' { wait } else { Wait::Forever };
        sample.tasks.push(Task { id, ran, delayed, slices, wait });
        Some(())
    });
    (!sample.tasks.is_empty()).then_some(sample)
}

/// All descendants of the process `pid`; empty if the system does not provide them.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for_each_task(pid, &mut |task_dir| {
        let mut parts = task_dir.split('/').skip(2);
        let process = parts.next()?.parse().ok()?;
        if found.last() != Some(&process) {
            found.push(process);
        }
        Some(())
    });
    found
}

/// Calls `visit` with the `/proc` directory of each descendant's tasks. Skips tasks that exit
/// meanwhile.
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
    use std::process::{Child, Command, Stdio};

    use super::{Sample, sample};
    use crate::sleep::Wait;

    /// Samples the descendants of a test's shell until `condition` holds.
    fn wait_until(child: &Child, condition: impl Fn(&Sample) -> bool) -> Sample {
        loop {
            match sample(child.id()) {
                Some(sample) if condition(&sample) => return sample,
                _ => std::thread::yield_now(),
            }
        }
    }

    /// A shell whose one child runs `script`.
    #[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    fn shell(script: &str) -> Child {
        let script = format!("{script} & wait");
        Command::new("bash").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn tasks_are_asleep_until_they_run() {
        let mut shell = shell("( kill -STOP $BASHPID; while :; do :; done )");
        let asleep = wait_until(&shell, |sample| sample.asleep);
        Command::new("kill").args(["-CONT", &asleep.tasks[0].id.to_string()]).status().unwrap();
        let running = wait_until(&shell, |sample| !sample.asleep);
        assert_ne!(asleep, running);
        wait_until(&shell, |sample| sample.ran() > asleep.ran());
        Command::new("kill").args(["-KILL", &asleep.tasks[0].id.to_string()]).status().unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn knows_what_a_task_waits_for() {
        let python = |body: &str| format!("exec python3 -c 'import os, select, time\n{body}'");
        // Python uses absolute times for some calls, so part of the time has passed.
        let cases = [
            ("exec sleep 7".to_owned(), Some(7000)),
            (python("time.sleep(5)"), Some(5000)),
            (python("select.select([], [], [], 2.5)"), Some(2500)),
            (python("p = select.poll()\nwhile True: p.poll(1250)"), Some(1250)),
            (python("e = select.epoll()\nwhile True: e.poll(3)"), Some(3000)),
            (python("r, w = os.pipe()\nos.read(r, 1)"), None),
            (python("select.epoll().poll()"), None),
        ];
        for (script, expected) in cases {
            let mut shell = shell(&script);
            let is_expected = |wait| match (wait, expected) {
                (Wait::Timed(time), Some(expected)) => {
                    (expected - 1000..=expected).contains(&time.as_millis())
                }
                (Wait::Forever, None) => true,
                _ => false,
            };
            let seen = wait_until(&shell, |sample| {
                sample.asleep && sample.is_known() && sample.tasks.iter().any(|task| is_expected(task.wait))
            });
            for task in &seen.tasks {
                let _ = Command::new("kill").args(["-KILL", &task.id.to_string()]).status();
            }
            shell.wait().unwrap();
        }
    }
}
