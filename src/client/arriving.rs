//! A target as it arrives: a temporary file beside where it goes. What has arrived of a long one stays there when the run
//! ends before it is whole, and the next run goes on from it.
//!
//! What stays is trusted with nothing. It is copied into a new file, so that nobody else has that open, and hashed on the
//! way; where the whole then has another hash, it is fetched anew.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use fs_err as fs;

use crate::fs::{Survives, directory_of, persist, remove_leftovers, temporary_for, with_path};
use crate::trust::FoundTarget;

/// The shortest target of which parts are kept, in bytes: others are soon had again.
const LEAST: u64 = 1 << 20;

/// How long a part is kept.
const LONGEST: TimeDelta = TimeDelta::days(3);

/// Most bytes of parts in one directory, with the one that arrives.
const MOST_BYTES: u64 = 16 << 30;

/// How the names of parts begin; 32 hexadecimal digits of the target's hash follow.
const PART: &str = ".trustroot-part-";

/// A target that is arriving.
pub(super) struct Arriving {
    /// What it becomes, for messages.
    destination: PathBuf,
    file: File,
    name: Name,
    /// What an earlier run left, locked, until it has been copied.
    earlier: Option<File>,
}

/// What the file is called.
enum Name {
    /// Nothing that anybody will look for.
    Temporary(tempfile::TempPath),
    /// As the next run will look for it.
    Part(PathBuf),
    /// A temporary name, until what an earlier run left is copied.
    NotYet(tempfile::TempPath, PathBuf),
}

impl Arriving {
    /// Makes a file beside `destination`, and clears away what earlier runs left there and nobody will go on with.
    pub(super) fn beside(destination: &Path, target: &FoundTarget, now: DateTime<Utc>) -> io::Result<Self> {
        let directory = directory_of(destination);
        remove_leftovers(directory);
        let (file, temporary) = temporary_for(destination)?.into_parts();
        let digest = target.file.hashes.iter().map(|(_, digest)| hex::encode(digest)).max_by_key(String::len);
        let digest = digest.filter(|_| cfg!(unix) && target.file.length >= LEAST);
        let Some(part) = digest.map(|digest| directory.join(format!("{PART}{}", &digest[..32]))) else {
            return Ok(Self {
                destination: destination.to_owned(),
                file,
                name: Name::Temporary(temporary),
                earlier: None,
            });
        };
        remove_other_parts(directory, &part, target.file.length, now);
        let (name, earlier) = match Earlier::open(&part)? {
            Earlier::Locked(earlier) => (Name::NotYet(temporary, part), Some(earlier)),
            // Another process fetches the same.
            Earlier::InUse => (Name::Temporary(temporary), None),
            Earlier::Absent => match temporary.persist_noclobber(&part) {
                Ok(()) => (Name::Part(part), None),
                Err(error) => (Name::Temporary(error.path), None),
            },
        };
        Ok(Self { destination: destination.to_owned(), file, name, earlier })
    }

    /// Takes over what an earlier run left, at most as much as the target is long, and hands it to `taken`.
    pub(super) fn take_over(&mut self, target: &FoundTarget, mut taken: impl FnMut(&Bytes)) -> io::Result<()> {
        let Some(earlier) = self.earlier.take() else { return Ok(()) };
        let mut left = (&earlier).take(target.file.length);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = left.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            let piece = Bytes::copy_from_slice(&buffer[..length]);
            taken(&piece);
            self.write(&piece)?;
        }
        self.name = match std::mem::replace(&mut self.name, Name::Part(PathBuf::new())) {
            // Whoever has this name locked may replace what it stands for.
            Name::NotYet(temporary, part) => match temporary.persist(&part) {
                Ok(()) => Name::Part(part),
                Err(error) => Name::Temporary(error.path),
            },
            name => name,
        };
        Ok(())
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).map_err(|error| with_path(&error, &self.destination))
    }

    /// Forgets everything that has arrived.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()
    }

    /// Makes it the content of its destination.
    pub(super) fn finish(self, survives: Survives) -> io::Result<()> {
        let path = match self.name {
            Name::Temporary(path) => path,
            Name::NotYet(path, part) => {
                // Nobody needs it any more.
                let _ = fs::remove_file(part);
                path
            }
            Name::Part(path) => tempfile::TempPath::try_from_path(path)?,
        };
        persist(tempfile::NamedTempFile::from_parts(self.file, path), &self.destination, survives)
    }

    /// Leaves what has arrived to the next run if that `may_go_on`, and clears it away else.
    pub(super) fn give_up(self, may_go_on: bool) {
        let arrived = self.file.metadata().is_ok_and(|metadata| metadata.len() > 0);
        if let Name::Part(path) = self.name
            && !(may_go_on && arrived)
        {
            let _ = fs::remove_file(path);
        }
    }
}

/// What an earlier run left under a name.
enum Earlier {
    Absent,
    InUse,
    Locked(File),
}

impl Earlier {
    fn open(part: &Path) -> io::Result<Self> {
        match fs::symlink_metadata(part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::Absent),
            Err(error) => return Err(error),
            // A pipe would block, and a link lead elsewhere.
            Ok(metadata) if !metadata.is_file() => return Ok(Self::InUse),
            Ok(_) => {}
        }
        let Ok(file) = fs::File::open(part).map(fs::File::into_file) else { return Ok(Self::InUse) };
        let is_ours = file.try_lock().is_ok() && is_still(part, &file);
        Ok(if is_ours { Self::Locked(file) } else { Self::InUse })
    }
}

/// Whether a file is still what its name stands for: it may have been taken over before it was locked.
#[cfg(unix)]
fn is_still(path: &Path, file: &File) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let (Ok(named), Ok(open)) = (fs::symlink_metadata(path), file.metadata()) else { return false };
    (named.dev(), named.ino()) == (open.dev(), open.ino())
}

#[cfg(not(unix))]
fn is_still(_: &Path, _: &File) -> bool {
    false
}

/// Removes parts of other targets that nobody fetches: those that are too old, and the oldest where they are too many
/// bytes.
fn remove_other_parts(directory: &Path, ours: &Path, length: u64, now: DateTime<Utc>) {
    let mut others = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_part = entry.file_name().to_str().and_then(|name| name.strip_prefix(PART)).is_some_and(is_digest);
        if let (true, Ok(metadata)) = (is_part && entry.path() != ours, entry.path().symlink_metadata())
            && let (true, Ok(modified)) = (metadata.is_file(), metadata.modified())
        {
            others.push((DateTime::<Utc>::from(modified), metadata.len(), entry.path()));
        }
    }
    others.sort();
    let mut room = MOST_BYTES.saturating_sub(length);
    for (modified, length, path) in others.into_iter().rev() {
        let fits = room.checked_sub(length);
        match fits.filter(|_| now - modified <= LONGEST) {
            Some(left) => room = left,
            None => {
                if let Ok(Earlier::Locked(_locked)) = Earlier::open(&path) {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
