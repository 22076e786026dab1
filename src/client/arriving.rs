//! A target as it arrives: a temporary file beside where it goes. What has arrived of a long one stays there when the run
//! ends before it is whole, and the next run goes on from it.
//!
//! What stays is trusted with nothing. It is copied into a new file, so that nobody else has that open, and hashed on the
//! way; where the whole then has another hash, it is fetched anew.

use std::fs::{File, Metadata};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use fs_err as fs;

use crate::fs::{Survives, directory_of, persist, remove_leftovers, temporary_for, with_path};
use crate::trust::FoundTarget;

/// The shortest target of which parts are kept, in bytes: others are soon had again.
const LEAST: u64 = 1 << 20;

/// How long a part is kept.
const LONGEST: Duration = Duration::from_secs(3 * 24 * 60 * 60);

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

impl Name {
    /// What a file is called once it was to be renamed to `part`.
    fn of_part(renamed: Result<(), tempfile::PathPersistError>, part: PathBuf) -> Self {
        match renamed {
            Ok(()) => Self::Part(part),
            Err(error) => Self::Temporary(error.path),
        }
    }
}

impl Arriving {
    /// Makes a file beside `destination`, and clears away what earlier runs left there and nobody will go on with: parts
    /// where the present is known.
    pub(super) fn beside(destination: &Path, target: &FoundTarget, present: Option<SystemTime>) -> io::Result<Self> {
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
        if let Some(present) = present {
            remove_other_parts(directory, &part, target.file.length, &file.metadata()?, present);
        }
        let (name, earlier) = match Earlier::open(&part)? {
            Earlier::Locked(earlier) if present.is_some_and(|present| is_too_old(&earlier, present)) => {
                (Name::of_part(temporary.persist(&part), part), None)
            }
            Earlier::Locked(earlier) => (Name::NotYet(temporary, part), Some(earlier)),
            // Another process fetches the same.
            Earlier::InUse => (Name::Temporary(temporary), None),
            Earlier::Absent => (Name::of_part(temporary.persist_noclobber(&part), part), None),
        };
        Ok(Self { destination: destination.to_owned(), file, name, earlier })
    }

    /// Takes over what an earlier run left, at most as much as the target is long, and hands it to `taken`.
    ///
    /// # Errors
    /// Where it cannot be read or copied, as on a disk that has room for one of the two. It is gone then too, and
    /// [`Self::restart`] forgets what of it was copied.
    pub(super) fn take_over(&mut self, target: &FoundTarget, taken: impl FnMut(&Bytes)) -> io::Result<()> {
        let Some(earlier) = self.earlier.take() else { return Ok(()) };
        let copied = self.copy(&earlier, target.file.length, taken);
        self.supersede(earlier);
        copied
    }

    /// Does without what an earlier run left, which takes room.
    pub(super) fn pass_over(&mut self) {
        if let Some(earlier) = self.earlier.take() {
            self.supersede(earlier);
        }
    }

    /// Takes the place of what an earlier run left. Whoever has that locked may replace it.
    fn supersede(&mut self, _locked: File) {
        self.name = match std::mem::replace(&mut self.name, Name::Part(PathBuf::new())) {
            Name::NotYet(temporary, part) => Name::of_part(temporary.persist(&part), part),
            name => name,
        };
    }

    fn copy(&mut self, earlier: &File, most: u64, mut taken: impl FnMut(&Bytes)) -> io::Result<()> {
        let mut left = earlier.take(most);
        let mut buffer = vec![0; 256 << 10];
        loop {
            let length = left.read(&mut buffer)?;
            if length == 0 {
                return Ok(());
            }
            let piece = Bytes::copy_from_slice(&buffer[..length]);
            taken(&piece);
            self.write(&piece)?;
        }
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

#[cfg(unix)]
fn have_one_owner(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    one.uid() == other.uid()
}

#[cfg(not(unix))]
fn is_still(_: &Path, _: &File) -> bool {
    false
}

#[cfg(not(unix))]
fn have_one_owner(_: &Metadata, _: &Metadata) -> bool {
    false
}

/// Removes parts of other targets that nobody fetches: those that are too old, and the oldest where they are too many
/// bytes. Those of other users are theirs: they are neither removed nor counted. `own` is of a file of ours.
fn remove_other_parts(directory: &Path, ours: &Path, length: u64, own: &Metadata, present: SystemTime) {
    let mut others = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_part = entry.file_name().to_str().and_then(|name| name.strip_prefix(PART)).is_some_and(is_digest);
        if let (true, Ok(metadata)) = (is_part && entry.path() != ours, entry.path().symlink_metadata())
            && let (true, Ok(modified)) = (metadata.is_file() && have_one_owner(&metadata, own), metadata.modified())
        {
            others.push((is_far(modified, present), modified, metadata.len(), entry.path()));
        }
    }
    others.sort_by_key(|(_, modified, ..)| std::cmp::Reverse(*modified));
    let mut room = MOST_BYTES.saturating_sub(length);
    for (is_far, _, length, path) in others {
        match room.checked_sub(length).filter(|_| !is_far) {
            Some(left) => room = left,
            None => {
                if let Ok(Earlier::Locked(_locked)) = Earlier::open(&path) {
                    let _ = fs::remove_file(&path);
                }
            }
        }
    }
}

fn is_too_old(file: &File, present: SystemTime) -> bool {
    file.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|modified| is_far(modified, present))
}

/// Whether a time is too long ago; or as far ahead, so that it says nothing. File systems give back any time that they
/// were told, as of the year 3,000,000.
fn is_far(modified: SystemTime, present: SystemTime) -> bool {
    present.duration_since(modified).unwrap_or_else(|ahead| ahead.duration()) > LONGEST
}

fn is_digest(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
