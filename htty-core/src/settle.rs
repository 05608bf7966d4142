//! What the command's tasks do: whether they run, and what they wait for
//! (proc(5)).

use std::time::Duration;

use crate::sleep::{self, Wait};

/// What one look at the command saw.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// Whether no task ran or was about to.
    pub(crate) asleep: bool,
    pub(crate) tasks: Vec<Task>,
    /// Whether they have more than one terminal.
    pub(crate) is_nested: bool,
}

/// A thread of the command.
///
/// Two looks see the same where it has not run in between. What it waits for is read
/// before the rest, so where two looks see the same, the second one's holds for the time
/// between them, even if the thread has woken up and slept again while it was looked at.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) id: u32,
    /// The nanoseconds that it has run, and those that it waited for a processor.
    pub(crate) ran: u64,
    pub(crate) delayed: u64,
    /// How often it was given a processor.
    pub(crate) slices: u64,
    pub(crate) wait: Wait,
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        (self.id, self.ran, self.slices) == (other.id, other.ran, other.slices)
    }
}

impl Eq for Task {}

impl Look {
    /// The nanoseconds that all tasks have run.
    pub(crate) fn ran(&self) -> u64 {
        self.tasks.iter().map(|task| task.ran).sum()
    }

    /// The nanoseconds that all tasks waited for a processor.
    pub(crate) fn delayed(&self) -> u64 {
        self.tasks.iter().map(|task| task.delayed).sum()
    }

    /// The tasks that wait for a time that passes by itself, at most `longest`.
    pub(crate) fn timed(&self, longest: Duration) -> impl Iterator<Item = u32> + '_ {
        let within = move |task: &&Task| matches!(task.wait, Wait::Timed(time) if time <= longest);
        self.tasks.iter().filter(within).map(|task| task.id)
    }

    /// Whether it is known of each task what it waits for.
    pub(crate) fn is_known(&self) -> bool {
        self.tasks.iter().all(|task| task.wait != Wait::Unknown)
    }
}

/// Looks at all descendants of the process `pid`; `None` where there are none,
/// or the system does not tell.
pub(crate) fn look(pid: u32) -> Option<Look> {
    let mut look = Look { asleep: true, tasks: Vec::new(), is_nested: false };
    let mut terminal = None;
    for_each_task(pid, &mut |place| {
        let wait = sleep::wait(place);
        // The state follows the name, which may hold anything, in parentheses.
        let stat = read(&format!("{place}/stat"))?;
        let mut fields = stat.rsplit_once(") ")?.1.split(' ');
        let state = fields.next()?.chars().next()?;
        // The parent, the process group and the session come between.
        let controlling = fields.nth(3)?;
        if controlling != "0" {
            look.is_nested |= terminal.get_or_insert_with(|| controlling.to_owned()) != controlling;
        }
        look.asleep &= !matches!(state, 'R' | 'D');
        let times = read(&format!("{place}/schedstat"))?;
        let mut times = times.split_ascii_whitespace().map(str::parse::<u64>);
        let (ran, delayed, slices) = (times.next()?.ok()?, times.next()?.ok()?, times.next()?.ok()?);
        let id = place.rsplit('/').next()?.parse().ok()?;
        // One that is stopped, or has ended, is not in a call that ends by itself.
        let wait = if state == 'S' { wait } else { Wait::Forever };
        look.tasks.push(Task { id, ran, delayed, slices, wait });
        Some(())
    });
    (!look.tasks.is_empty()).then_some(look)
}

/// All descendants of the process `pid`; none where the system does not tell.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for_each_task(pid, &mut |place| {
        let mut parts = place.split('/').skip(2);
        let process = parts.next()?.parse().ok()?;
        if found.last() != Some(&process) {
            found.push(process);
        }
        Some(())
    });
    found
}

/// Calls `visit` with the directory of each descendant's tasks. One that ends
/// while it is looked at is left out.
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

    use super::{Look, look};
    use crate::sleep::Wait;

    /// Looks at what descends from the shell of a test, until that is as wished.
    fn until(child: &Child, wished: impl Fn(&Look) -> bool) -> Look {
        loop {
            match look(child.id()) {
                Some(look) if wished(&look) => return look,
                _ => std::thread::yield_now(),
            }
        }
    }

    /// A shell whose one child runs `script`.
    #[allow(clippy::unwrap_used, reason = "a test cannot go on without it")]
    fn shell(script: &str) -> Child {
        let script = format!("{script} & wait");
        Command::new("bash").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn sleepers_are_asleep_until_they_run() {
        let mut shell = shell("( kill -STOP $BASHPID; while :; do :; done )");
        let asleep = until(&shell, |look| look.asleep);
        Command::new("kill").args(["-CONT", &asleep.tasks[0].id.to_string()]).status().unwrap();
        let running = until(&shell, |look| !look.asleep);
        assert_ne!(asleep, running);
        until(&shell, |look| look.ran() > asleep.ran());
        Command::new("kill").args(["-KILL", &asleep.tasks[0].id.to_string()]).status().unwrap();
        shell.wait().unwrap();
    }

    #[test]
    fn what_a_task_waits_for_is_known() {
        let python = |body: &str| format!("exec python3 -c 'import os, select, time\n{body}'");
        // Python counts from the start of the system: some of the time has passed.
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
            let seen = until(&shell, |look| {
                look.asleep && look.is_known() && look.tasks.iter().any(|task| is_expected(task.wait))
            });
            for task in &seen.tasks {
                let _ = Command::new("kill").args(["-KILL", &task.id.to_string()]).status();
            }
            shell.wait().unwrap();
        }
    }
}
