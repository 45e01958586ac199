//! The file that an export by path leaves: linked at once where that can be, else made at the end.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dfdaemon_api::digest::{Digest, DigestHasher};

use crate::cluster::Error;
use crate::cluster::replica_ops::check_length;
use crate::dfdaemon::quirks::{Quirk, Quirks};
use crate::dfdaemon::task_id::TaskId;
use crate::store::{CancelFlag, Disk, for_each_chunk};

/// How an output was asked for.
#[derive(Clone, Debug)]
pub(crate) struct OutputRequest {
    pub(crate) path: PathBuf,
    pub(crate) force_hard_link: bool,
    pub(crate) overwrite: bool,
    /// As it was sent, to be read now or, by a daemon that is late, at the end.
    pub(crate) digest: Option<String>,
}

impl OutputRequest {
    /// Makes the output a further name of a file. That it cannot is an error only if it has to be.
    pub(in crate::cluster) fn link(&self, disk: &Disk, file: &File) -> Result<(), Error> {
        let linked = disk.link_open(file, &self.path);
        let is_there = || {
            file.metadata()
                .is_ok_and(|content| is_same(&content, &self.path))
        };
        match linked {
            Err(error) if self.force_hard_link && !is_there() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The content that an output is made of.
#[derive(Debug)]
pub(in crate::cluster) struct OutputContent {
    pub(in crate::cluster) file: File,
    pub(in crate::cluster) task_id: TaskId,
    /// In bytes, as the task's record says.
    pub(in crate::cluster) length: u64,
    /// Where the content lies, if it is a symbolic link: outputs are further names of the link, and
    /// `file` is what it leads to from there.
    pub(in crate::cluster) link: Option<PathBuf>,
}

impl OutputContent {
    fn link_to(&self, disk: &Disk, path: &Path) -> io::Result<()> {
        match &self.link {
            Some(link) => disk.link(link, path),
            None => disk.link_open(&self.file, path),
        }
    }

    /// Whether a path is a further name of the content.
    fn is_at(&self, path: &Path) -> bool {
        let metadata = match &self.link {
            Some(link) => fs::symlink_metadata(link),
            None => self.file.metadata(),
        };
        metadata.is_ok_and(|content| is_same(&content, path))
    }

    /// Whether a path leads to the content. One name of a relative link does, another one need not.
    fn is_reached_from(&self, path: &Path) -> bool {
        let reached = fs::metadata(path);
        let is_content = |reached: &fs::Metadata| {
            let content = self.file.metadata();
            content.is_ok_and(|content| is_one(&content, reached))
        };
        reached.is_ok_and(|reached| is_content(&reached))
    }
}

/// An output in the making. Dropped before it is finished, it takes away what it has made.
#[derive(Debug)]
pub(in crate::cluster) struct Output {
    request: OutputRequest,
    disk: Disk,
    content: OutputContent,
    link: Link,
    quirks: Quirks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// The output's name was made by us.
    Made,
    /// The output already was the content, under a further name.
    AlreadyThere,
    /// No link could be made; whether a copy can is seen at the end.
    Refused,
    /// Nothing to take away any more.
    Finished,
}

impl Output {
    /// Links the output to the content, before any piece is sent.
    pub(in crate::cluster) fn link_at_once(
        disk: Disk,
        content: OutputContent,
        request: OutputRequest,
        quirks: Quirks,
    ) -> Result<Self, Error> {
        let linked = content.link_to(&disk, &request.path);
        let link = match linked {
            Ok(()) => Link::Made,
            Err(_) if content.is_reached_from(&request.path) => Link::AlreadyThere,
            Err(error) if request.force_hard_link => return Err(error.into()),
            Err(_) => Link::Refused,
        };
        Ok(Self {
            request,
            disk,
            content,
            link,
            quirks,
        })
    }

    /// Leaves the link that was made, whatever becomes of the content.
    pub(in crate::cluster) fn leave(&mut self) {
        self.link = Link::Finished;
    }

    /// Checks the digest and makes the output, if it is not there yet. Blocks on the disk.
    pub(in crate::cluster) fn finish(mut self, cancel: &CancelFlag) -> Result<(), Error> {
        if self.content.link.is_some() {
            self.link = Link::Finished;
            return self.finish_through_link(cancel);
        }
        if self.link == Link::Refused
            && self.request.overwrite
            && self.quirks.has(Quirk::OverwriteInPlace)
            && self.request.path.exists()
        {
            self.link = Link::Finished;
            return self.overwrite_in_place(cancel);
        }
        let checked = self.check_digest(&self.content.file, cancel);
        let keeps = self.quirks.has(Quirk::KeepMismatch);
        if checked.is_ok() || keeps {
            // The content may have been cut while its digest was computed.
            self.check_length()?;
            if self.link == Link::Refused {
                self.replace_or_copy(cancel)?;
            }
            // The client may have gone away meanwhile.
            cancel.check()?;
            self.link = Link::Finished;
        }
        checked
    }

    /// Finishes an output of content that is a symbolic link, as a dfdaemon does that knows of no links:
    /// it looks, writes and reads through the output, whatever the link leads to from there.
    fn finish_through_link(&self, cancel: &CancelFlag) -> Result<(), Error> {
        let path = &self.request.path;
        if !self.request.force_hard_link && !self.content.is_reached_from(path) {
            let exists = path.exists();
            if exists && !self.request.overwrite {
                return Err(Error::OutputExists { path: path.clone() });
            }
            self.copy_to(&self.disk.create_through(path)?, cancel)?;
            if exists {
                // As with every overwritten output.
                return Ok(());
            }
        }
        match self.request.digest {
            Some(_) => self.check_digest(&File::open(path)?, cancel),
            None => Ok(()),
        }
    }

    fn check_length(&self) -> Result<(), Error> {
        if self.quirks.has(Quirk::UnnoticedCuts) {
            return Ok(());
        }
        let content = &self.content;
        check_length(&content.file, &content.task_id, content.length)
    }

    fn check_digest(&self, file: &File, cancel: &CancelFlag) -> Result<(), Error> {
        let Some(raw) = &self.request.digest else {
            return Ok(());
        };
        let expected = parse_digest(raw)?;
        let mut hasher = DigestHasher::of(&expected);
        let whole = 0..file.metadata()?.len();
        for_each_chunk(&self.disk, file, whole, |chunk| {
            hasher.update(chunk);
            cancel.check()
        })?;
        let actual = hasher.finish();
        let (written, computed) = (expected.to_string(), actual.to_string());
        let decimal_only =
            expected.algorithm() == "crc32" && self.quirks.has(Quirk::Crc32DecimalOnly);
        let matches = if decimal_only {
            written == computed
        } else {
            actual.is(&expected)
        };
        if matches {
            return Ok(());
        }
        Err(Error::DigestMismatch {
            expected: written,
            actual: computed,
        })
    }

    /// Writes into the file that is there, whatever other names it has.
    fn overwrite_in_place(&self, cancel: &CancelFlag) -> Result<(), Error> {
        let target = self.disk.open_emptied(&self.request.path)?;
        self.copy_to(&target, cancel)
    }

    /// Copies the content to a file that is there.
    fn copy_to(&self, target: &File, cancel: &CancelFlag) -> Result<(), Error> {
        let length = self.content.file.metadata()?.len();
        let go_on = || cancel.check().is_ok();
        Ok(self
            .disk
            .copy_first(&self.content.file, target, length, &go_on)?)
    }

    /// Makes a file beside the output and renames it: over what is there if that was asked for,
    /// never written through it.
    fn replace_or_copy(&self, cancel: &CancelFlag) -> Result<(), Error> {
        let path = &self.request.path;
        let there = self.disk.look(path)?;
        if there.as_ref().is_some_and(fs::Metadata::is_symlink)
            && self.quirks.has(Quirk::ThroughLinks)
            && fs::metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        {
            let target = self.disk.create_through(path)?;
            return self.copy_to(&target, cancel);
        }
        let exists = there.is_some();
        if exists && !self.request.overwrite {
            return Err(Error::OutputExists { path: path.clone() });
        }
        let parent = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let mut beside = self.beside(parent, cancel)?;
        let renamed = if self.request.overwrite {
            self.disk.rename_unsynced(&beside.path, path)
        } else {
            self.disk.rename_new(&beside.path, path)
        };
        beside.renamed = renamed.is_ok();
        renamed.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::OutputExists { path: path.clone() },
            _ => Error::from(error),
        })
    }

    /// The content under a new name in `parent`: linked, or copied where that cannot be.
    fn beside(&self, parent: &Path, cancel: &CancelFlag) -> Result<Beside, Error> {
        self.disk.check_writable()?;
        let linked = self.make_in(parent, |path| self.disk.link_open(&self.content.file, path));
        if let Ok((linked, ())) = linked {
            return Ok(linked);
        }
        let (beside, copy) = self.make_in(parent, |path| self.disk.create(path))?;
        let metadata = self.content.file.metadata()?;
        let go_on = || cancel.check().is_ok();
        self.disk
            .copy_first(&self.content.file, &copy, metadata.len(), &go_on)?;
        self.check_length()?;
        self.disk.set_mode(&copy, metadata.mode() & 0o777)?;
        self.disk.sync(&copy)?;
        Ok(beside)
    }

    /// Makes something under a name in `parent` that nobody else has.
    fn make_in<T>(
        &self,
        parent: &Path,
        make: impl FnMut(&Path) -> io::Result<T>,
    ) -> io::Result<(Beside, T)> {
        let mut builder = tempfile::Builder::new();
        // Not `tempfile_in`: its errors name the path, which a daemon's text does not.
        let (made, path) = builder
            .prefix(".dfdaemon-")
            .make_in(parent, make)?
            .into_parts();
        let beside = Beside {
            path: path.keep().map_err(|error| error.error)?,
            disk: self.disk.clone(),
            renamed: false,
        };
        Ok((beside, made))
    }
}

/// A file beside an output, to be renamed to it. Dropped before, it is removed.
struct Beside {
    path: PathBuf,
    disk: Disk,
    renamed: bool,
}

impl Drop for Beside {
    fn drop(&mut self) {
        if !self.renamed {
            // It lies in a directory that is not ours: there is no second try.
            let _ = self.disk.remove(&self.path);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.link == Link::Made && self.content.is_at(&self.request.path) {
            // The caller gets the error that ended the export.
            let _ = self.disk.remove(&self.request.path);
        }
    }
}

pub(in crate::cluster) fn parse_digest(raw: &str) -> Result<Digest, Error> {
    raw.parse().map_err(|why| Error::InvalidDigest {
        raw: raw.to_owned(),
        why,
    })
}

fn is_same(content: &fs::Metadata, path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|path| is_one(content, &path))
}

fn is_one(content: &fs::Metadata, other: &fs::Metadata) -> bool {
    (content.dev(), content.ino()) == (other.dev(), other.ino())
}
