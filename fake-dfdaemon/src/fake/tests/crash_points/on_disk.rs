//! What must hold: every promised task whole on as many hosts as were promised, no other one shown,
//! and no file that belongs to nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::place::{OLD, copy_paths};
use super::running_fake::RunningFake;
use super::steps::Expected;
use crate::HostStatus;
use crate::store::TaskState;

impl RunningFake<'_> {
    /// Holds what the fake knows, and what lies on the disk, against what is expected.
    pub(super) fn check(&self, expected: &Expected) -> Result<(), String> {
        self.check_tasks(expected)?;
        self.check_files(expected)?;
        self.check_outputs(expected)
    }

    fn check_tasks(&self, expected: &Expected) -> Result<(), String> {
        let running = self.daemon.hosts();
        let running = running.filter(|host| host.status() == HostStatus::Running);
        let running = running.count() as u64;
        for file in 0..self.place.scenario.lengths.len() {
            let id = self.id(file);
            let task = self.cluster().scheduler().stat(&id).ok();
            let state = task.as_ref().map(|view| view.task.state);
            let Some(promised) = expected.tasks.get(&file) else {
                if matches!(state, None | Some(TaskState::Failed)) {
                    continue;
                }
                return Err(format!("file {file} is {state:?}, and should not be there"));
            };
            let Some(task) = task.filter(|_| state == Some(TaskState::Succeeded)) else {
                return Err(format!("file {file} was promised, and is {state:?}"));
            };
            let replicas = promised.replicas.min(running);
            if task.persistent_replicas < replicas {
                return Err(format!(
                    "file {file}: {task:?}, {replicas} replicas promised"
                ));
            }
        }
        Ok(())
    }

    fn check_files(&self, expected: &Expected) -> Result<(), String> {
        let state = self.place.state();
        let (mut must, mut may) = (BTreeSet::new(), BTreeSet::new());
        let ids = self.cluster().scheduler().task_ids();
        for task in ids
            .iter()
            .filter_map(|id| self.cluster().scheduler().task(id))
        {
            let id = &task.id;
            let tasks = state.join("scheduler/tasks");
            let record = tasks
                .join(&id[..id.len().min(3)])
                .join(format!("{id}.json"));
            let succeeded = task.state == TaskState::Succeeded;
            if succeeded { &mut must } else { &mut may }.insert(record);
            for replica in &task.replicas {
                let host = replica.host.trim_start_matches("host-").parse().unwrap();
                let [record, content] = copy_paths(&state, host, id);
                if replica.complete {
                    let whole = fs::read(&content).unwrap_or_default();
                    let files = 0..self.place.scenario.lengths.len();
                    let promised = files
                        .filter(|file| self.id(*file) == *id)
                        .any(|file| self.place.content(file) == whole);
                    if !promised {
                        return Err(format!("{} is damaged", content.display()));
                    }
                    must.extend([record, content]);
                } else {
                    may.insert(record);
                }
            }
        }
        let found = files_below(&state);
        if let Some(lost) = must.iter().find(|path| !found.contains(*path)) {
            return Err(format!("{} is lost", lost.display()));
        }
        let snapshots: Vec<_> = expected
            .snapshots()
            .map(|name| state.join(format!("snapshots/s{name}")))
            .collect();
        let orphan = found.iter().find(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            let is_fixed = path.parent() == Some(&state)
                && (["state.json", "journal.jsonl"].contains(&name) || name.ends_with(".sock"));
            let is_kept = snapshots.iter().any(|snapshot| path.starts_with(snapshot));
            !is_fixed && !is_kept && !must.contains(*path) && !may.contains(*path)
        });
        orphan.map_or(Ok(()), |orphan| {
            Err(format!("{} belongs to nothing", orphan.display()))
        })
    }

    fn check_outputs(&self, expected: &Expected) -> Result<(), String> {
        for file in 0..self.place.scenario.lengths.len() {
            let content = self.place.content(file);
            if fs::read(self.place.file(file)).unwrap() != content {
                return Err(format!("the source {file} was changed"));
            }
            let found = fs::read(self.place.output(file)).ok();
            let wanted = expected.outputs.get(&file);
            let wanted = wanted.map(|new| if *new { content } else { OLD });
            if found.as_deref() != wanted {
                return Err(format!(
                    "output {file} is {:?}",
                    found.map(|found| found.len())
                ));
            }
        }
        Ok(())
    }

    /// That nothing lies beside the outputs, as after a kill it may.
    pub(super) fn check_beside_outputs(&self, expected: &Expected) -> Result<(), String> {
        let found = files_below(&self.place.outputs());
        let wanted = expected.outputs.keys().map(|file| self.place.output(*file));
        if found == wanted.collect() {
            return Ok(());
        }
        Err(format!("beside the outputs: {found:?}"))
    }
}

fn files_below(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                dirs.push(entry.path());
            } else {
                found.insert(entry.path());
            }
        }
    }
    found
}
