//! What a crate's files import, read without a compiler.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A module's path within its crate; the crate itself is empty.
pub(crate) type Module = Vec<String>;

/// The modules of a crate, and their text.
#[derive(Clone, Default)]
pub(crate) struct Crate {
    pub(crate) files: BTreeMap<Module, String>,
    pub(crate) entries: usize,
}

impl Crate {
    pub(crate) fn read(src: &str) -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(src);
        let mut files = BTreeMap::new();
        read_below(&root, &mut Vec::new(), &mut files);
        Self {
            files,
            entries: fs::read_dir(root).unwrap().count(),
        }
    }

    pub(crate) fn with(mut self, module: &str, text: &str) -> Self {
        let path = module.split("::").map(str::to_owned).collect();
        self.files.insert(path, text.to_owned());
        self
    }

    /// The modules that each module imports.
    pub(crate) fn imports(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let paths: BTreeMap<_, _> = self
            .files
            .iter()
            .map(|(module, text)| (module, paths_in(text)))
            .collect();
        let passed_on = |module: &Module, name: &str| {
            let names = paths.get(module)?.iter();
            let mut found = names.filter(|path| path.declared && path.name() == name);
            self.resolve(module, found.next()?)
        };
        let imported = |module: &Module, path: &ImportPath| {
            let target = self.resolve(module, path)?;
            let next = path.absolute(module)?.get(target.len()).cloned();
            let beyond = next.and_then(|name| passed_on(target, &name));
            let target = beyond.unwrap_or(target);
            (!module.starts_with(target) && !target.starts_with(module)).then_some(target)
        };
        let all = paths.iter();
        all.map(|(module, paths)| {
            let targets = paths.iter().filter_map(|path| imported(module, path));
            (*module, targets.collect())
        })
        .collect()
    }

    /// The module in which a path ends.
    fn resolve(&self, here: &Module, path: &ImportPath) -> Option<&Module> {
        let mut path = path.absolute(here)?;
        loop {
            if let Some((module, _)) = self.files.get_key_value(&path) {
                return Some(module);
            }
            path.pop()?;
        }
    }
}

fn read_below(dir: &Path, module: &mut Module, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if name == "tests" || name == "testing" {
            continue;
        }
        let is_root = ["mod", "lib", "main"].contains(&name.as_str());
        if path.is_dir() || !is_root {
            module.push(name);
        }
        if path.is_dir() {
            read_below(&path, module, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let before = files.entry(module.clone()).or_default();
            before.push_str(&text);
        }
        if path.is_dir() || !is_root {
            module.pop();
        }
    }
}

/// A path that begins with `crate`, `self` or `super`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ImportPath {
    parts: Vec<String>,
    /// The name that a `use` gives it, if that is another one.
    alias: Option<String>,
    /// Whether it stands in a `use`.
    declared: bool,
}

impl ImportPath {
    pub(crate) fn name(&self) -> &str {
        let last = || self.parts.last().map_or("", String::as_str);
        self.alias.as_deref().unwrap_or_else(last)
    }

    fn absolute(&self, here: &Module) -> Option<Module> {
        let mut parts = self.parts.iter().peekable();
        let mut module = here.clone();
        if parts.next_if(|part| *part == "crate").is_some() {
            module.clear();
        }
        parts.next_if(|part| *part == "self");
        while parts.next_if(|part| *part == "super").is_some() {
            module.pop()?;
        }
        module.extend(parts.filter(|part| *part != "self").cloned());
        Some(module)
    }
}

pub(crate) fn paths_in(text: &str) -> Vec<ImportPath> {
    let uncommented = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    let text = uncommented.collect::<Vec<_>>().join("\n");
    // Tests of a file stand at its end, or in a file of their own.
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap_or("");
    let tokens = tokens(text);
    let (mut paths, mut at, mut declared) = (Vec::new(), 0, false);
    while let Some(token) = tokens.get(at) {
        declared = match *token {
            "use" => true,
            ";" => false,
            _ => declared,
        };
        let begins = ["crate", "self", "super"].contains(token);
        let after = at.checked_sub(1).and_then(|before| tokens.get(before));
        if begins && after != Some(&"::") && tokens.get(at + 1) == Some(&"::") {
            let path = ImportPath {
                declared,
                ..ImportPath::default()
            };
            at = path_at(&tokens, at, path, &mut paths);
        } else {
            at += 1;
        }
    }
    paths
}

/// Reads a path, or a tree of them, and returns what comes after.
fn path_at(
    tokens: &[&str],
    mut at: usize,
    mut path: ImportPath,
    paths: &mut Vec<ImportPath>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        if *token == "{" {
            at += 1;
            while tokens.get(at).is_some_and(|token| *token != "}") {
                at = if tokens[at] == "," {
                    at + 1
                } else {
                    path_at(tokens, at, path.clone(), paths)
                };
            }
            return at + 1;
        }
        if !is_name(token) {
            break;
        }
        path.parts.push((*token).to_owned());
        at += 1;
        if tokens.get(at) != Some(&"::") {
            if tokens.get(at) == Some(&"as") {
                path.alias = tokens.get(at + 1).map(|alias| (*alias).to_owned());
                at += 2;
            }
            paths.push(path);
            return at;
        }
        at += 1;
    }
    paths.push(path);
    at + 1
}

fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| first.is_alphanumeric() || first == '_')
}

/// Names, `::`, and single other characters.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let in_name = |next: char| next.is_alphanumeric() || next == '_';
        let length = match rest.find(|next| !in_name(next)) {
            _ if rest.starts_with("::") => 2,
            Some(0) => first.len_utf8(),
            Some(length) => length,
            None => rest.len(),
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}
