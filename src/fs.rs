//! Writes files so that a reader sees the old content or the new, never a part; and locks directories.

use std::fs::{File, TryLockError};
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use fs_err as fs;

/// Replaces the content of `path`: temporary file, fsync, rename, fsync of the directory.
///
/// After a crash or a power failure at any point the file has its old content or the new one; a temporary file may
/// stay behind. A device, a pipe or anything else that is not a regular file is never replaced, nor where a link leads
/// to one.
///
/// # Errors
/// I/O errors, with the path; the file then has its old content.
pub fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    spare_special_files(path)?;
    replace(path, bytes, Survives::PowerFailure)?;
    sync_directory(directory_of(path))
}

/// Like [`write_durably`], for a file that must not be there yet. Returns whether it was not: one that is there stays as
/// it is.
#[cfg(feature = "maintainer")]
pub(crate) fn create_durably(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let mut file = temporary_beside(path)?;
    file.write_all(bytes)?;
    file.file.as_file().sync_data().map_err(|error| with_path(&error, path))?;
    match file.file.persist_noclobber(path) {
        Ok(_) => sync_directory(directory_of(path)).map(|()| true),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(with_path(&error.error, path)),
    }
}

/// Like [`write_durably`], for a file that only its owner may read.
///
/// # Errors
/// I/O errors, with the path; the file then has its old content.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    spare_special_files(path)?;
    // Without permissions of our own choice a temporary file is its owner's alone.
    let mut file = temporary_in(path, tempfile::Builder::new().prefix(TEMPORARY))?;
    file.write_all(bytes)?;
    persist(file, path, Survives::PowerFailure)
}

/// What the new content of a file outlives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Survives {
    /// The end of the process, however it comes. After a power failure the file may be damaged.
    Crash,
    /// A power failure too, once the directory has been synced.
    PowerFailure,
}

/// Replaces the content of `path`, so that readers see the old or the new. For directories of our own: what is no regular
/// file has no business there, and gives way.
pub(crate) fn replace(path: &Path, bytes: &[u8], survives: Survives) -> io::Result<()> {
    let mut file = temporary_beside(path)?;
    file.write_all(bytes)?;
    rename(file.into(), path, survives)
}

/// Removes the temporary files that killed processes left in a directory, as far as that can be done. Those of a process
/// that lives are locked, and stay.
pub fn remove_leftovers(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_temporary = entry.file_name().to_str().is_some_and(is_temporary);
        if is_temporary && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            // Somebody else may have been quicker; what stays does no harm.
            if let Ok(file) = fs::File::open(entry.path()).map(fs::File::into_file)
                && file.try_lock().is_ok()
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Makes renames in a directory outlive a power failure.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { fs::File::open(directory)?.sync_all() } else { Ok(()) }
}

/// How the names of temporary files begin. As many letters and digits follow as `tempfile` adds.
const TEMPORARY: &str = ".trustroot-";

fn is_temporary(name: &str) -> bool {
    let random = name.strip_prefix(TEMPORARY);
    random.is_some_and(|random| random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// A file that becomes another one, of which alone its errors speak.
#[derive(Debug)]
pub(crate) struct Temporary {
    file: tempfile::NamedTempFile,
    path: PathBuf,
}

impl Temporary {
    pub(crate) fn into_parts(self) -> (File, tempfile::TempPath) {
        self.file.into_parts()
    }
}

impl From<Temporary> for tempfile::NamedTempFile {
    fn from(temporary: Temporary) -> Self {
        temporary.file
    }
}

impl Write for Temporary {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The file itself: `NamedTempFile` would put its own name into the error.
        self.file.as_file_mut().write(bytes).map_err(|error| with_path(&error, &self.path))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush().map_err(|error| with_path(&error, &self.path))
    }
}

/// A temporary file beside `path`, locked for as long as this process has it open, where files can be locked.
fn temporary_in(path: &Path, builder: &tempfile::Builder<'_, '_>) -> io::Result<Temporary> {
    loop {
        let file = builder.tempfile_in(directory_of(path)).map_err(|error| with_path(&error, path))?;
        let usable = match file.as_file().try_lock() {
            // Before it was locked, somebody may have taken it for left over.
            Ok(()) => fs::symlink_metadata(file.path()).is_ok(),
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(_)) => true,
        };
        if usable {
            return Ok(Temporary { file, path: path.to_owned() });
        }
    }
}

/// Refuses a path where something stands that a file must not be renamed over: a device, a pipe, a socket, a directory,
/// or a link to one.
fn spare_special_files(path: &Path) -> io::Result<()> {
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        let message = format!("`{}` is not a regular file, and is not replaced", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(())
}

/// A temporary file for what the user wants at `path`, unless something stands there that is not a regular file.
pub(crate) fn temporary_for(path: &Path) -> io::Result<Temporary> {
    spare_special_files(path)?;
    temporary_beside(path)
}

/// A temporary file that [`persist`] can rename to `path`.
fn temporary_beside(path: &Path) -> io::Result<Temporary> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // The process's umask decides, as for any file that a program creates.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    temporary_in(path, &builder)
}

/// Makes a temporary file the content of `path`.
pub(crate) fn persist(file: impl Into<tempfile::NamedTempFile>, path: &Path, survives: Survives) -> io::Result<()> {
    rename(file.into(), path, survives)?;
    if survives == Survives::PowerFailure { sync_directory(directory_of(path)) } else { Ok(()) }
}

fn rename(file: tempfile::NamedTempFile, path: &Path, survives: Survives) -> io::Result<()> {
    if survives == Survives::PowerFailure {
        file.as_file().sync_data().map_err(|error| with_path(&error, path))?;
    }
    file.persist(path).map_err(|error| with_path(&error.error, path))?;
    Ok(())
}

/// The directory that a file is in.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The error with the file that was meant. The name of a temporary one, which would stand in it, says nothing to anybody.
pub(crate) fn with_path(error: &io::Error, path: &Path) -> io::Error {
    let said = error.to_string();
    let reason = match error.get_ref() {
        // An error of the system's, which names no file.
        None => said,
        Some(error) => match error.source() {
            // The file's own error, below that of `fs_err`.
            Some(source) => source.to_string(),
            // That of `tempfile` hides it, and says where at its end.
            None => said.split_once(" at path \"").map_or(said.as_str(), |(reason, _)| reason).to_owned(),
        },
    };
    io::Error::new(error.kind(), format!("cannot write `{}`: {reason}", path.display()))
}

/// Reads a regular file of at most `limit` bytes. Returns `None` where it does not exist.
///
/// A pipe or device is never waited for: it could block for ever.
///
/// # Errors
/// I/O errors, with the path; `InvalidData` when it is longer; `InvalidInput` when it is not a regular file.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    // To open a pipe waits for somebody who writes to it.
    #[cfg(unix)]
    fs_err::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NONBLOCK | libc::O_NOCTTY);
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // A socket, for instance, cannot be opened at all.
        Err(_) if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) => return Err(not_regular(path)),
        Err(error) => return Err(error),
    };
    if !file.metadata()?.is_file() {
        return Err(not_regular(path));
    }
    read_opened(file, path, limit)
}

/// Like [`read_bounded`], for a file that the user names: it may be a pipe too, such as a shell makes for `<(…)`, and is
/// waited for. Not for what others can put into a place.
///
/// # Errors
/// I/O errors, with the path; `InvalidData` when it is longer; `InvalidInput` when it is neither file nor pipe.
pub fn read_argument(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            return read_opened(fs::File::open(path)?, path, limit);
        }
    }
    read_bounded(path, limit)
}

fn not_regular(path: &Path) -> io::Error {
    let message = format!("`{}` is not a regular file, and is not read", path.display());
    io::Error::new(io::ErrorKind::InvalidInput, message)
}

fn read_opened(file: fs::File, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    // So that a large file is not held twice as it grows; what it claims to be is not taken for granted.
    let length = file.metadata()?.len().min(limit).min(64 << 20);
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("`{}` is longer than the {limit} bytes that are read", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Some(bytes))
}

/// A symbolic link where none may be: below a directory that others can have filled.
#[cfg(feature = "maintainer")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is a symbolic link, or leads out: below the working copy none is followed", crate::Printable(&.0.to_string_lossy()))]
pub(crate) struct Link(pub(crate) PathBuf);

#[cfg(feature = "maintainer")]
impl Link {
    /// The link that an error is about.
    pub(crate) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

/// Refuses `path`, which lies below `base`, where one of the parts below is a link: git carries links, and through one
/// what is meant for `base` would be read from, written to or removed from somewhere else. `base` may be a link itself.
///
/// # Errors
/// With a [`Link`] in it.
#[cfg(feature = "maintainer")]
pub(crate) fn refuse_links(base: &Path, path: &Path) -> io::Result<()> {
    let refused = |link: &Path| Err(io::Error::new(io::ErrorKind::InvalidInput, Link(link.to_owned())));
    let Ok(below) = path.strip_prefix(base) else { return refused(path) };
    let mut there = base.to_owned();
    for part in below.components() {
        if !matches!(part, std::path::Component::Normal(_)) {
            return refused(path);
        }
        there.push(part);
        match fs::symlink_metadata(&there) {
            Ok(metadata) if metadata.is_symlink() => return refused(&there),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads a regular file below `base`, by the rule of [`refuse_links`].
///
/// # Errors
/// As [`read_bounded`] and [`refuse_links`].
#[cfg(feature = "maintainer")]
pub(crate) fn read_below(base: &Path, path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    refuse_links(base, path)?;
    read_bounded(path, limit)
}

/// The regular files below a directory of `base`, in order of their names; none where it does not exist.
///
/// # Errors
/// I/O errors; where one is a link, that.
#[cfg(feature = "maintainer")]
pub(crate) fn files_below(base: &Path, directory: &Path) -> io::Result<Vec<PathBuf>> {
    refuse_links(base, directory)?;
    let mut files = Vec::new();
    if !directory.is_dir() {
        return Ok(files);
    }
    for entry in walkdir::WalkDir::new(directory).sort_by_file_name() {
        let entry = entry?;
        if entry.file_type().is_symlink() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, Link(entry.into_path())));
        }
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    Ok(files)
}

/// A lock on a directory, released when dropped or when the process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "held, not read")] File);

impl Lock {
    /// Waits until no other process holds the lock of `directory`, for a minute at most.
    #[cfg(feature = "maintainer")]
    pub(crate) async fn acquire(directory: &Path) -> io::Result<Self> {
        let patience = std::time::Duration::from_secs(60);
        let started = tokio::time::Instant::now();
        loop {
            match Self::try_acquire(directory)? {
                Some(lock) => return Ok(lock),
                None if started.elapsed() < patience => {
                    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
                }
                None => {
                    let message = format!("another process holds the lock `{}`", directory.join(LOCK).display());
                    return Err(io::Error::new(io::ErrorKind::WouldBlock, message));
                }
            }
        }
    }

    /// Like [`Lock::acquire`], where nothing is asynchronous.
    #[cfg(feature = "maintainer")]
    pub(crate) fn wait(directory: &Path) -> io::Result<Self> {
        let pause = std::time::Duration::from_millis(10);
        for _ in 0..6_000 {
            if let Some(lock) = Self::try_acquire(directory)? {
                return Ok(lock);
            }
            std::thread::sleep(pause);
        }
        let message = format!("another process holds the lock `{}`", directory.join(LOCK).display());
        Err(io::Error::new(io::ErrorKind::WouldBlock, message))
    }

    /// Takes the lock of `directory`; `None` where another process holds it.
    pub(crate) fn try_acquire(directory: &Path) -> io::Result<Option<Self>> {
        let path = directory.join(LOCK);
        // To open a pipe would block for ever, and a link could make a file somewhere else.
        if fs::symlink_metadata(&path).is_ok_and(|metadata| !metadata.is_file()) {
            let message = format!("`{}` is not a regular file, and is not locked", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let mut options = fs::OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        fs_err::os::unix::fs::OpenOptionsExt::mode(&mut options, WHO_WRITES);
        let file = options.open(&path)?.into_file();
        #[cfg(unix)]
        lock_out_readers(&file);
        match file.try_lock() {
            Ok(()) => Ok(Some(Self(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(with_path(&error, &path)),
        }
    }
}

/// The file of a directory that is locked.
pub(crate) const LOCK: &str = ".lock";

/// Whoever may read a file may lock it, and keep out those who write. So its owner may read it, and of the others those whom
/// the umask lets write may only write it, which is enough to take turns.
#[cfg(unix)]
const WHO_WRITES: u32 = 0o622;

/// Takes back that others may read a lock that was made so that they could. Where it belongs to somebody else, it stays.
#[cfg(unix)]
fn lock_out_readers(file: &File) {
    use std::os::unix::fs::PermissionsExt as _;
    if let Ok(metadata) = file.metadata()
        && metadata.permissions().mode() & 0o044 != 0
    {
        let permissions = std::fs::Permissions::from_mode(metadata.permissions().mode() & 0o7733);
        if let Err(error) = file.set_permissions(permissions) {
            tracing::debug!(%error, "a lock can be held by those who may read it");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_replaced_and_nothing_stays_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_durably(&path, b"old").unwrap();
        write_durably(&path, b"new").unwrap();
        assert_eq!(read_bounded(&path, 3).unwrap().unwrap(), b"new");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn who_may_not_write_cannot_hold_a_lock() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LOCK);
        let mode = || std::fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        drop(Lock::try_acquire(directory.path()).unwrap().unwrap());
        assert_eq!(mode() & 0o044, 0, "{:o}", mode());
        // As they were made before, and shared by a group.
        for (before, after) in [(0o644, 0o600), (0o664, 0o620)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(before)).unwrap();
            drop(Lock::try_acquire(directory.path()).unwrap().unwrap());
            assert_eq!(mode(), after, "{:o}", mode());
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (pipe, link) = (directory.path().join("pipe"), directory.path().join("link"));
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        std::os::unix::fs::symlink(&pipe, &link).unwrap();
        std::fs::create_dir(directory.path().join("below")).unwrap();
        for path in [pipe, link, directory.path().join("below")] {
            let before = std::fs::symlink_metadata(&path).unwrap().file_type();
            for write in [write_durably, write_private] {
                assert_eq!(write(&path, b"new").unwrap_err().kind(), io::ErrorKind::InvalidInput);
            }
            assert_eq!(std::fs::symlink_metadata(&path).unwrap().file_type(), before);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 3);
    }

    /// Their names say nothing to anybody, and are another each time.
    #[cfg(unix)]
    #[test]
    fn errors_name_the_file_that_was_meant_and_no_temporary_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("absent").join("file");
        for error in [write_durably(&path, b"new").unwrap_err(), write_private(&path, b"new").unwrap_err()] {
            assert_eq!(error.kind(), io::ErrorKind::NotFound);
            let meant = format!("cannot write `{}`: No such file or directory (os error 2)", path.display());
            assert_eq!(error.to_string(), meant);
        }
        // Linux has a device that is always full.
        if let Ok(full) = std::fs::OpenOptions::new().write(true).open("/dev/full") {
            let path = directory.path().join("file");
            let (_, name) = temporary_beside(&path).unwrap().into_parts();
            let mut file = Temporary { file: tempfile::NamedTempFile::from_parts(full, name), path: path.clone() };
            let error = file.write_all(b"new").unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            let meant = format!("cannot write `{}`: No space left on device (os error 28)", path.display());
            assert_eq!(error.to_string(), meant);
            drop(file);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let of_the_living = temporary_beside(&directory.path().join("file")).unwrap();
        let stay = [".trustroot-killed.json", ".trustroot-notes", "killed", ".trustroot-kil-ed"];
        for name in stay.iter().chain(&[".trustroot-killed", ".trustroot-0aZ9bY"]) {
            fs::write(directory.path().join(name), b"half").unwrap();
        }
        fs::create_dir(directory.path().join(".trustroot-direct")).unwrap();
        remove_leftovers(directory.path());
        let mut left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        left.sort();
        let stay = stay.iter().map(|name| directory.path().join(name));
        let mut expected: Vec<_> = stay.chain([directory.path().join(".trustroot-direct")]).collect();
        expected.push(of_the_living.file.path().to_owned());
        expected.sort();
        assert_eq!(left, expected);
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_or_device_is_not_waited_for_unless_the_user_names_a_pipe() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let socket = directory.path().join("socket");
        let _listening = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [&pipe, &socket, Path::new("/dev/zero"), directory.path()] {
            assert_eq!(read_bounded(path, 3).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{}", path.display());
        }
        assert_eq!(read_argument(Path::new("/dev/zero"), 3).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        for (written, read) in [(&b"123"[..], Some(())), (b"1234", None)] {
            let to = pipe.clone();
            let writer = std::thread::spawn(move || {
                let mut to = std::fs::OpenOptions::new().write(true).open(to).unwrap();
                to.write_all(written).unwrap();
            });
            assert_eq!(read_argument(&pipe, 3).ok().map(|bytes| assert_eq!(bytes.unwrap(), written)), read);
            writer.join().unwrap();
        }
    }

    #[cfg(all(unix, feature = "maintainer"))]
    #[test]
    fn links_are_refused_below_a_directory_and_it_may_be_one_itself() {
        let directory = tempfile::tempdir().unwrap();
        let (base, link) = (directory.path().join("base"), directory.path().join("link"));
        fs::create_dir_all(base.join("in/side")).unwrap();
        write_durably(&base.join("in/side/file"), b"1").unwrap();
        std::os::unix::fs::symlink(&base, &link).unwrap();
        std::os::unix::fs::symlink("in", base.join("out")).unwrap();
        std::os::unix::fs::symlink("/nowhere", base.join("in/dangling")).unwrap();
        assert_eq!(read_below(&link, &link.join("in/side/file"), 1).unwrap().unwrap(), b"1");
        assert!(read_below(&link, &link.join("in/absent/file"), 1).unwrap().is_none());
        for path in ["out", "out/side/file", "in/dangling", "in/dangling/x", "in/../in", "../base"] {
            let error = refuse_links(&link, &link.join(path)).unwrap_err();
            assert!(Link::of(&error).is_some(), "{path}: {error}");
        }
        assert!(Link::of(&files_below(&base, &base.join("in")).unwrap_err()).is_some());
        assert_eq!(files_below(&base, &base.join("in/side")).unwrap(), [base.join("in/side/file")]);
    }

    #[test]
    fn a_file_that_is_too_long_is_not_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write_durably(&path, b"1234").unwrap();
        let error = read_bounded(&path, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(read_bounded(&directory.path().join("absent"), 3).unwrap().is_none());
    }
}
