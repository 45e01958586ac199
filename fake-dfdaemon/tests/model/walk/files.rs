//! The files of the walk, and which names are one file: links make aliases, and edits go through
//! all of them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// What the sources hold, in bytes. The last one is long, and holes.
pub(crate) const LENGTHS: [usize; 4] = [0, 9, (4 << 20) + 5, LONG];
pub(crate) const LONG: usize = (12 << 22) + 1;

/// The length of a file that has no bytes and is larger than a host, and what a host may hold: more
/// than a walk brings together, so that nothing is evicted.
pub(crate) const HUGE: u64 = 1900 << 20;
pub(crate) const CAPACITY: u64 = 1800 << 20;

/// Texts that ids are made of.
pub(crate) const NAMES: [&str; 3] = ["a", "b", "c"];

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    /// A file, by its place among all that there ever were.
    File(usize),
    /// A symbolic link to a source by its absolute path.
    Absolute(usize),
    /// A symbolic link to a source in its own directory.
    Relative(usize),
    Directory,
    /// A symbolic link to the output of that place.
    Link(usize),
}

/// The files that the walk made.
pub(crate) struct Files {
    pub(crate) dir: PathBuf,
    /// What each file holds. Copies share it until one is edited.
    contents: Vec<Arc<Vec<u8>>>,
    /// Files of which nobody says what they hold.
    unknown: BTreeSet<usize>,
    /// The sources.
    pub(crate) sources: [usize; LENGTHS.len()],
    /// Outputs by path, all that there ever were.
    pub(crate) outputs: Vec<(PathBuf, Option<Node>)>,
    /// What relative links to each source lead to from beside the outputs, if something is there.
    beside: [Option<usize>; LENGTHS.len()],
    edits: u8,
    /// When files were changed last that hold what they should: they are not read again.
    read: RefCell<BTreeMap<usize, (i64, i64)>>,
}

impl Files {
    pub(crate) fn new(dir: &Path) -> Self {
        let mut files = Self {
            dir: dir.to_owned(),
            contents: Vec::new(),
            unknown: BTreeSet::new(),
            sources: [0; LENGTHS.len()],
            outputs: Vec::new(),
            beside: [None; LENGTHS.len()],
            edits: 0,
            read: RefCell::default(),
        };
        fs::create_dir(dir.join("sources")).unwrap();
        fs::create_dir(dir.join("outputs")).unwrap();
        fs::create_dir(dir.join("directory")).unwrap();
        let huge = fs::File::create(dir.join("huge")).unwrap();
        huge.set_len(HUGE).unwrap();
        let mode = rustix::fs::Mode::RWXU;
        rustix::fs::mkfifoat(rustix::fs::CWD, dir.join("fifo"), mode).unwrap();
        for (source, length) in LENGTHS.into_iter().enumerate() {
            let bytes: Vec<u8> = match length {
                LONG => vec![0; LONG],
                _ => counted(source, length),
            };
            write(&files.source(source), &bytes);
            files.sources[source] = files.add(bytes.into());
            let (absolute, relative) = (files.absolute(source), files.relative(source));
            std::os::unix::fs::symlink(files.source(source), absolute).unwrap();
            std::os::unix::fs::symlink(format!("source-{source}"), relative).unwrap();
        }
        files
    }

    /// Notes a file that somebody made.
    pub(crate) fn add(&mut self, bytes: Arc<Vec<u8>>) -> usize {
        self.contents.push(bytes);
        self.contents.len() - 1
    }

    pub(crate) fn source(&self, source: usize) -> PathBuf {
        self.dir.join(format!("sources/source-{source}"))
    }

    pub(crate) fn absolute(&self, source: usize) -> PathBuf {
        self.dir.join(format!("sources/absolute-{source}"))
    }

    pub(crate) fn relative(&self, source: usize) -> PathBuf {
        self.dir.join(format!("sources/relative-{source}"))
    }

    /// A path that nothing is at.
    pub(crate) fn new_output(&mut self) -> usize {
        let path = self
            .dir
            .join(format!("outputs/output-{}", self.outputs.len()));
        self.outputs.push((path, None));
        self.outputs.len() - 1
    }

    /// The file that an output leads to.
    pub(crate) fn reached(&self, output: usize) -> Option<usize> {
        match self.outputs[output].1? {
            Node::File(file) => Some(file),
            Node::Absolute(source) => Some(self.sources[source]),
            Node::Relative(source) => self.beside[source],
            Node::Link(target) => self.reached(target),
            Node::Directory => None,
        }
    }

    /// Notes that something was written through an output that leads to nothing.
    pub(crate) fn write_through(&mut self, output: usize, bytes: Arc<Vec<u8>>) {
        let file = self.add(bytes);
        match self.outputs[output].1 {
            Some(Node::Relative(source)) => self.beside[source] = Some(file),
            Some(Node::Link(target)) => self.outputs[target].1 = Some(Node::File(file)),
            _ => self.outputs[output].1 = Some(Node::File(file)),
        }
    }

    fn beside(&self) -> impl Iterator<Item = (PathBuf, usize)> {
        let beside = self.beside.iter().enumerate();
        beside.filter_map(|(source, file)| {
            let path = self.dir.join(format!("outputs/source-{source}"));
            Some((path, (*file)?))
        })
    }

    /// Names of outputs that are files, and of files that outputs lead to.
    pub(crate) fn editable(&self) -> Vec<(PathBuf, usize)> {
        let outputs = self.outputs.iter();
        let files = outputs.filter_map(|(path, node)| match node {
            Some(Node::File(file)) => Some((path.clone(), *file)),
            _ => None,
        });
        files.chain(self.beside()).collect()
    }

    /// The bytes of content, which are as many as its task has.
    pub(crate) fn there(&self, content: Node, length: usize) -> Arc<Vec<u8>> {
        match content {
            Node::File(file) => Arc::clone(&self.contents[file]),
            Node::Absolute(source) => Arc::clone(&self.contents[self.sources[source]]),
            _ => vec![0; length].into(),
        }
    }

    pub(crate) fn bytes(&self, file: usize) -> &[u8] {
        &self.contents[file]
    }

    /// Notes that a failed export wrote to the file `there`, or else to a new file.
    pub(crate) fn unknown(&mut self, there: Option<Node>) -> Node {
        let node = there.unwrap_or_else(|| Node::File(self.add(Arc::default())));
        if let Node::File(file) = node {
            self.unknown.insert(file);
        }
        node
    }

    /// Whether nobody says what a file holds.
    pub(crate) fn is_unknown(&self, node: Node) -> bool {
        matches!(node, Node::File(file) if self.unknown.contains(&file))
    }

    /// Notes that a transfer wrote `bytes` to the file `there`, or else to a new file.
    pub(crate) fn preallocated(&mut self, there: Option<Node>, bytes: Arc<Vec<u8>>) -> Node {
        if let Some(Node::File(file)) = there {
            self.set(file, bytes);
            return Node::File(file);
        }
        Node::File(self.add(bytes))
    }

    pub(crate) fn set(&mut self, file: usize, bytes: Arc<Vec<u8>>) {
        self.unknown.remove(&file);
        self.read.get_mut().remove(&file);
        self.contents[file] = bytes;
    }

    /// Writes another first byte through a name of a file.
    pub(crate) fn edit(&mut self, path: &Path, file: usize) {
        self.edits = self.edits.wrapping_add(1);
        self.read.get_mut().remove(&file);
        if let Some(first) = Arc::make_mut(&mut self.contents[file]).first_mut() {
            *first = first.wrapping_add(self.edits | 1);
            let first = [*first];
            let mut options = fs::OpenOptions::new();
            let mut opened = options.write(true).open(path).unwrap();
            opened.write_all(&first).unwrap();
        }
    }

    /// Puts a new file in the place of a source.
    pub(crate) fn replace(&mut self, source: usize) {
        let mut bytes = self.contents[self.sources[source]].to_vec();
        self.edits = self.edits.wrapping_add(1);
        if let Some(last) = bytes.last_mut() {
            *last = last.wrapping_add(self.edits | 1);
        }
        let new = self.dir.join("sources/new");
        write(&new, &bytes);
        fs::rename(new, self.source(source)).unwrap();
        self.sources[source] = self.add(bytes.into());
    }

    fn holds(&self, path: &Path, file: usize, found: &fs::Metadata) -> bool {
        let changed = (found.mtime(), found.mtime_nsec());
        let is_long = found.len() == LONG as u64;
        if self.read.borrow().get(&file) == Some(&changed) {
            return true;
        }
        let holds = is_content(path, &self.contents[file]);
        if holds && (is_long || is_old(found)) {
            self.read.borrow_mut().insert(file, changed);
        }
        holds
    }

    /// That every name leads to what it should, and that names are one file just where they should
    /// be; `others` are names that the fake made.
    pub(crate) fn check(&self, others: &[(PathBuf, Node)], when: &str) {
        let sources = self.sources.iter().enumerate();
        let sources = sources.map(|(number, file)| (self.source(number), Node::File(*file)));
        let outputs = self.outputs.iter();
        let outputs = outputs.filter_map(|(path, node)| Some((path.clone(), (*node)?)));
        let beside = self.beside();
        let outputs = outputs.chain(beside.map(|(path, file)| (path, Node::File(file))));
        let mut inodes = BTreeMap::new();
        let mut known = BTreeMap::new();
        for (path, node) in sources.chain(outputs).chain(others.iter().cloned()) {
            let found = fs::symlink_metadata(&path);
            let found = found.unwrap_or_else(|error| panic!("{} {when}: {error}", path.display()));
            let inode = (found.dev(), found.ino());
            match node {
                Node::File(file) => {
                    assert!(found.is_file(), "{} {when}", path.display());
                    let expected = *inodes.entry(file).or_insert(inode);
                    assert_eq!(inode, expected, "{} {when}", path.display());
                    let other = *known.entry(inode).or_insert(file);
                    assert_eq!(file, other, "{} {when}", path.display());
                    let is_unknown = self.unknown.contains(&file);
                    let same = is_unknown || self.holds(&path, file, &found);
                    assert!(same, "content of {} {when}", path.display());
                }
                Node::Absolute(_) | Node::Relative(_) | Node::Link(_) => {
                    assert!(found.is_symlink(), "{} {when}", path.display());
                }
                Node::Directory => assert!(found.is_dir(), "{} {when}", path.display()),
            }
        }
        for (path, _) in self.outputs.iter().filter(|(_, node)| node.is_none()) {
            let there = fs::symlink_metadata(path).is_ok();
            assert!(!there, "{} is there {when}", path.display());
        }
        let listed = fs::read_dir(self.dir.join("outputs")).unwrap().count();
        let made = self.outputs.iter().filter(|(_, node)| node.is_some());
        let made = made.count() + self.beside().count();
        assert_eq!(listed, made, "files beside outputs {when}");
    }
}

/// The bytes of a source: the number of each group of seven. They are the same again after 256 groups.
fn counted(source: usize, length: usize) -> Vec<u8> {
    let period: Vec<u8> = (0..7 << 8).map(|at| (at / 7 + source) as u8).collect();
    let mut bytes = period.repeat(length.div_ceil(period.len()));
    bytes.truncate(length);
    bytes
}

/// Whether a file holds just these bytes. It is read by parts, since memory for all of it would have to be zeroed.
fn is_content(path: &Path, expected: &[u8]) -> bool {
    let mut file = fs::File::open(path).unwrap();
    let mut part = vec![0; 256 << 10];
    let mut rest = expected;
    loop {
        let length = file.read(&mut part).unwrap();
        match rest.split_at_checked(length) {
            Some((these, others)) if *these == part[..length] => rest = others,
            _ => return false,
        }
        if length == 0 {
            return rest.is_empty();
        }
    }
}

/// Whether the next change of a file gets another time: file systems tell times by a clock that stands still for
/// some milliseconds.
fn is_old(found: &fs::Metadata) -> bool {
    let age = SystemTime::now().duration_since(found.modified().unwrap());
    age.is_ok_and(|age| age > Duration::from_millis(50))
}

/// Of most file systems: there are no smaller holes.
const BLOCK: usize = 4 << 10;

/// Writes a file, with a hole for zeros at its beginning.
fn write(path: &Path, bytes: &[u8]) {
    // By blocks, of which a file of megabytes has fewer than bytes.
    let blocks = bytes
        .chunks(BLOCK)
        .take_while(|block| **block == [0; BLOCK]);
    let zeros = blocks.count() * BLOCK;
    let file = fs::File::create(path).unwrap();
    file.set_len(bytes.len() as u64).unwrap();
    file.write_all_at(&bytes[zeros..], zeros as u64).unwrap();
}
