//! Whether entries make up one tree, of which nothing is outside.

use super::{Entry, Kind};

/// Linux takes no longer path.
pub(super) const MAX_PATH: usize = 4095;
/// Linux takes no longer name.
pub(super) const MAX_NAME: usize = 255;
/// How many links are followed, as in Linux.
const MAX_LINKS: usize = 40;
const MAX_MODE: u32 = 0o777;

/// Checks that entries make up one tree and that nothing of it is outside of it.
///
/// # Errors
///
/// Why not, in a sentence that names the entry.
pub(in crate::tree) fn check_paths(entries: &[Entry]) -> Result<(), String> {
    let mut total = 0u64;
    for (before, entry) in std::iter::once(None)
        .chain(entries.iter().map(Some))
        .zip(entries)
    {
        let path = &entry.path;
        if let Some(before) = before
            && before.path >= *path
        {
            let how = if before.path == *path {
                "is listed twice"
            } else {
                "is not in sorted order"
            };
            return Err(format!("{path:?} {how}"));
        }
        check_path(path)?;
        if let Some((parent, _)) = path.rsplit_once('/') {
            check_parents(entries, parent, path)?;
        }
        match &entry.kind {
            Kind::Directory { mode } => check_mode(path, *mode)?,
            Kind::File { mode, length, .. } => {
                check_mode(path, *mode)?;
                let fits = i64::try_from(*length).is_ok();
                let sum = total.checked_add(*length).filter(|_| fits);
                total = sum.ok_or_else(|| {
                    format!("{path:?} is listed with more bytes than a file can have")
                })?;
            }
            Kind::Link { target } => check_link(entries, path, target)?,
        }
    }
    Ok(())
}

pub(super) fn check_ids(entries: &[Entry]) -> Result<(), String> {
    let has_id = |entry: &&Entry| match &entry.kind {
        Kind::File { task_id, .. } => (1..=MAX_NAME).contains(&task_id.len()),
        _ => true,
    };
    match entries.iter().find(|entry| !has_id(entry)) {
        Some(entry) => Err(format!("{:?} has no valid task id", entry.path)),
        None => Ok(()),
    }
}

fn check_path(path: &str) -> Result<(), String> {
    let is_name = |name: &str| !["", ".", ".."].contains(&name) && name.len() <= MAX_NAME;
    if path.len() <= MAX_PATH && !path.contains('\0') && path.split('/').all(is_name) {
        return Ok(());
    }
    let shown: String = path.chars().take(MAX_NAME).collect();
    Err(format!("{shown:?} is not a path within the tree"))
}

fn check_mode(path: &str, mode: u32) -> Result<(), String> {
    if mode <= MAX_MODE {
        return Ok(());
    }
    Err(format!(
        "{path:?} has the mode {mode:04o}, and at most {MAX_MODE:04o} is allowed"
    ))
}

/// What is above an entry must be directories, also those that are not in the manifest.
fn check_parents(entries: &[Entry], parent: &str, path: &str) -> Result<(), String> {
    let mut above = Some(parent);
    while let Some(parent) = above {
        match find(entries, parent).map(|entry| &entry.kind) {
            // Its own parents are checked where it stands.
            Some(Kind::Directory { .. }) => return Ok(()),
            Some(_) => {
                return Err(format!(
                    "{path:?} is below {parent:?}, which is not a directory"
                ));
            }
            None => above = parent.rsplit_once('/').map(|(above, _)| above),
        }
    }
    Ok(())
}

fn find<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Entry> {
    let at = entries.binary_search_by(|entry| entry.path.as_str().cmp(path));
    entries.get(at.ok()?)
}

/// Follows a link through the tree, as the file system will, and finds out whether it leads out.
fn check_link(entries: &[Entry], path: &str, target: &str) -> Result<(), String> {
    if target.is_empty() || target.len() > MAX_PATH || target.contains('\0') {
        return Err(format!("the link {path:?} has an invalid target"));
    }
    let leads_out = || format!("the link {path:?} leads out of the tree");
    if target.starts_with('/') {
        return Err(leads_out());
    }
    let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
    let mut place: Vec<&str> = parent.split('/').filter(|name| !name.is_empty()).collect();
    // What is still to be walked: the next name is the last.
    let mut ahead: Vec<&str> = target.rsplit('/').collect();
    let mut links = 0;
    while let Some(name) = ahead.pop() {
        match name {
            "" | "." => continue,
            ".." => {
                place.pop().ok_or_else(leads_out)?;
                continue;
            }
            name => place.push(name),
        }
        let Some(Entry {
            kind: Kind::Link { target },
            ..
        }) = find(entries, &place.join("/"))
        else {
            continue;
        };
        links += 1;
        if links > MAX_LINKS {
            return Err(format!("the link {path:?} is part of a loop of links"));
        }
        if target.starts_with('/') {
            return Err(leads_out());
        }
        place.pop();
        ahead.extend(target.rsplit('/'));
    }
    Ok(())
}
