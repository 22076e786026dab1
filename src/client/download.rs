//! Downloads targets: streams them to where they belong while their length and hashes are checked, and goes on where a
//! download broke off.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use fs_err as fs;

use super::arriving::Arriving;
use super::asking::take;
use super::fetcher::{Answer, Body, EntityTag, FetchError, FetchRequest};
use super::settings::{Clock, KeptTargets};
use super::{SafeUrl, UpdateError, Updater, stored_name};
use crate::crypto::Digester;
use crate::fs::Survives;
use crate::metadata::HashAlgorithm;
use crate::trust::{Connectivity, FoundTarget};

/// A target that is on disk and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Downloaded {
    /// Where it is.
    pub path: PathBuf,
    /// Whether it was there before, so that nothing was fetched.
    pub was_there: bool,
}

impl Updater {
    /// Downloads a target to `destination`, streaming it to disk while hashing. A file that is there already and
    /// has the right hashes is left alone; `copy` is used instead of fetching where it is a file with the right
    /// hashes. `progress` is told the bytes so far.
    ///
    /// A download that breaks off goes on where it was, where the same server still has the same content; another mirror
    /// is asked for the whole. What has arrived of a target of a mebibyte or more stays beside `destination`, in a hidden
    /// file, if the server cannot be reached any more or the process is killed: the next download of the same target to the
    /// same directory goes on from it, at any mirror, since nobody knows from where it came. Where the joined whole has
    /// another hash, all of it is fetched once more. The part is removed when that is done, or after three days by any other
    /// download to there, unless [`Clock::Chosen`].
    ///
    /// # Errors
    /// See [`UpdateError`]. `destination` then has its old content.
    pub async fn download(
        &mut self,
        target: &FoundTarget,
        destination: &Path,
        copy: Option<&Path>,
        mut progress: impl FnMut(u64),
    ) -> Result<Downloaded, UpdateError> {
        let path = destination.to_owned();
        if is_target(destination, target)? {
            return Ok(Downloaded { path, was_there: true });
        }
        let survives = self.survival(destination);
        let present = (self.driver.settings.clock == Clock::Present).then(|| self.driver.start.time().into());
        let file = Arriving::beside(destination, target, present)?;
        let syncing = Syncing::begin(file.file(), target, survives)?;
        let mut file = TargetFile { file, so_far: 0, progress: &mut progress, syncing };
        match self.stream_target(target, copy, &mut file).await {
            Ok(()) => file.finish(survives)?,
            Err(error) => {
                file.file.give_up(error.is_unreachable());
                return Err(error);
            }
        }
        Ok(Downloaded { path, was_there: false })
    }

    /// A target that is only kept is checked whenever it is used, and fetched again where it is damaged.
    fn survival(&self, destination: &Path) -> Survives {
        match &self.driver.settings.kept_targets {
            KeptTargets::In(directory) if destination.parent() == Some(directory) => Survives::Crash,
            _ => Survives::PowerFailure,
        }
    }

    /// Fetches a target into memory, or reads it from `copy` where that is a file with the right hashes.
    ///
    /// # Errors
    /// See [`UpdateError`].
    pub async fn target_bytes(&mut self, target: &FoundTarget, copy: Option<&Path>) -> Result<Vec<u8>, UpdateError> {
        let mut bytes = Vec::new();
        self.stream_target(target, copy, &mut bytes).await?;
        Ok(bytes)
    }

    /// Fetches a target into memory, or reads it from where targets are kept.
    pub(super) async fn kept_target(&mut self, target: &FoundTarget) -> Result<Vec<u8>, UpdateError> {
        let name = stored_name(&target.path.encoded(), "");
        match self.driver.settings.kept_targets.clone() {
            KeptTargets::In(directory) if self.driver.settings.connectivity == Connectivity::Online => {
                let file = directory.join(name);
                let kept = match fs::create_dir_all(&directory) {
                    Ok(()) => self.download(target, &file, None, |_| {}).await,
                    Err(error) => Err(error.into()),
                };
                match kept {
                    // Checked once more as it is read: another process may have replaced it.
                    Ok(_) => self.target_bytes(target, Some(&file)).await,
                    // A disk that is full, or may not be written, does not make the answer wrong.
                    Err(UpdateError::Io(error)) => {
                        self.driver.note_not_kept(error);
                        self.target_bytes(target, None).await
                    }
                    Err(error) => Err(error),
                }
            }
            KeptTargets::In(directory) | KeptTargets::ReadFrom(directory) => {
                self.target_bytes(target, Some(&directory.join(name))).await
            }
            KeptTargets::Nowhere => self.target_bytes(target, None).await,
        }
    }

    /// Fetches a target to where targets are kept; where they are not, it is only checked.
    pub(super) async fn keep_target(&mut self, target: &FoundTarget) -> Result<(), UpdateError> {
        let file = |directory: &Path| directory.join(stored_name(&target.path.encoded(), ""));
        match self.driver.settings.kept_targets.clone() {
            KeptTargets::In(directory) if self.driver.settings.connectivity == Connectivity::Online => {
                fs::create_dir_all(&directory)?;
                self.download(target, &file(&directory), None, |_| {}).await.map(drop)
            }
            KeptTargets::In(directory) | KeptTargets::ReadFrom(directory) => {
                self.stream_target(target, Some(&file(&directory)), &mut Nowhere).await
            }
            KeptTargets::Nowhere => self.stream_target(target, None, &mut Nowhere).await,
        }
    }

    /// Hands a target's bytes to `sink`. They are trusted only once this returns `Ok`.
    async fn stream_target(
        &mut self,
        target: &FoundTarget,
        copy: Option<&Path>,
        sink: &mut impl TargetSink,
    ) -> Result<(), UpdateError> {
        if let Some(copy) = copy
            && may_be_target(copy, target)?
        {
            sink.pass_over();
            // Checked as it is read, once; where it turns out to be something else, what was taken of it is forgotten.
            match read_target(copy, target, |bytes| sink.take(bytes)) {
                Err(UpdateError::WrongTargetLength { .. } | UpdateError::WrongTargetHash { .. }) => sink.restart()?,
                other => return other,
            }
        }
        let (length, limit) = (target.file.length, self.driver.settings.limits.target);
        if length > limit {
            return Err(UpdateError::TargetTooLarge { path: target.path.clone(), length, limit });
        }
        if self.driver.settings.connectivity == Connectivity::Offline {
            return Err(self.driver.not_asked(UpdateError::TargetOffline { path: target.path.clone() }));
        }
        let mut rounds = self.driver.settings.retries;
        let order = self.driver.order.clone();
        self.driver.meter.allow(self.driver.settings.patience.for_target(length));
        let mut stream = Stream { target, sink, check: TargetCheck::new(target), part: None };
        if stream.take_over()? {
            return Ok(());
        }
        loop {
            let (mut failure, mut may_pass): (Option<UpdateError>, _) = (None, None);
            for (place, index) in order.iter().enumerate() {
                if !self.driver.meter.share_with(order.len() - place - 1) && failure.is_some() {
                    break;
                }
                match self.stream_from(*index, &mut stream).await {
                    Ok(()) => return Ok(()),
                    Err(
                        error @ (UpdateError::Fetch(_)
                        | UpdateError::WrongTargetLength { .. }
                        | UpdateError::WrongTargetHash { .. }),
                    ) => {
                        may_pass = error.that_may_pass().or(may_pass);
                        failure = Some(error.or_earlier(failure.take()));
                    }
                    Err(error) => return Err(error),
                }
            }
            let again = match may_pass {
                Some(error) => rounds.wait_after(&error, &self.driver.meter).await,
                None => false,
            };
            if !again {
                return Err(failure.expect("there is a mirror, and all have failed"));
            }
        }
    }

    /// Streams a target, or the rest of it, from one mirror.
    async fn stream_from<S: TargetSink>(&self, index: usize, stream: &mut Stream<'_, S>) -> Result<(), UpdateError> {
        let target = stream.target;
        let (url, body) = self.ask_for_target(index, target, stream.part.as_ref()).await?;
        let so_far = stream.check.length();
        let resumed = body.offset() > 0;
        if body.offset() != so_far {
            stream.restart()?;
        }
        let left = target.file.length - stream.check.length();
        let tag = body.tag().filter(|tag| tag.is_strong()).cloned();
        stream.part = Some(Part { url: Some(url.clone()), tag, length: stream.check.length() });
        let (check, sink, part) = (&mut stream.check, &mut *stream.sink, &mut stream.part);
        let streamed = take(body, left, &self.driver.meter, |chunk| {
            check.update(chunk);
            if let Some(part) = part {
                part.length += chunk.len() as u64;
            }
            sink.take(chunk).map_err(UpdateError::Io)
        })
        .await;
        match streamed {
            Ok(()) => match stream.finish(&url) {
                // Parts of two contents: once more, as a whole.
                Err(_) if resumed => {
                    stream.restart()?;
                    Box::pin(self.stream_from(index, stream)).await
                }
                finished => {
                    if finished.is_err() {
                        stream.restart()?;
                    }
                    finished
                }
            },
            Err(error) => {
                // What a server sends that sends too much, say, is worth nothing.
                if !error.is_unreachable() {
                    stream.restart()?;
                }
                Err(error)
            }
        }
    }

    /// Asks until the answer begins. With consistent snapshots a server may keep the file under any of its hashes.
    async fn ask_for_target(
        &self,
        index: usize,
        target: &FoundTarget,
        part: Option<&Part>,
    ) -> Result<(SafeUrl, Body), FetchError> {
        let consistent = self.trusted().is_some_and(|trusted| trusted.root().consistent_snapshot);
        let hashes: Vec<&[u8]> = target.file.hashes.iter().map(|(_, digest)| digest).filter(|_| consistent).collect();
        let mut hashes = hashes.into_iter().peekable();
        loop {
            let url = self.driver.settings.mirrors[index].target_url.below(&target.path.url_path(hashes.next()));
            let of_this = |part: &&Part| part.length > 0 && part.url.as_ref().is_none_or(|from| *from == url);
            let resume = part.filter(of_this);
            // As it is: what is compressed cannot be resumed.
            let mut request = FetchRequest { compressed: false, ..FetchRequest::whole(url.clone()) };
            request.resume = resume.map(|part| (part.length, part.tag.clone()));
            match self.driver.meter.ask(&*self.driver.fetcher, &request).await {
                Err(FetchError::Absent { .. } | FetchError::NotInBundle { .. }) if hashes.peek().is_some() => {}
                Err(error) => return Err(error),
                Ok(Answer::Body(body)) => return Ok((url, body)),
                Ok(Answer::Unchanged) => {
                    let reason = "the server says that nothing changed, which was not asked".to_owned();
                    return Err(FetchError::Transport { url, reason });
                }
            }
        }
    }
}

/// What has arrived of a target.
#[derive(Debug)]
struct Part {
    /// From where; of what an earlier run left that is not known.
    url: Option<SafeUrl>,
    /// Where the server named its content.
    tag: Option<EntityTag>,
    length: u64,
}

/// A target that is arriving.
struct Stream<'a, S> {
    target: &'a FoundTarget,
    sink: &'a mut S,
    check: TargetCheck<'a>,
    /// What has arrived so far, where the rest can be asked for.
    part: Option<Part>,
}

impl<S: TargetSink> Stream<'_, S> {
    /// Goes on from what an earlier run left; whether that is all.
    fn take_over(&mut self) -> io::Result<bool> {
        let check = &mut self.check;
        if self.sink.take_over(self.target, &mut |piece| check.update(piece)).is_err() {
            // It is in the way, at most: without it there may be room.
            self.restart()?;
        }
        let length = self.check.length();
        if length == self.target.file.length {
            let check = std::mem::replace(&mut self.check, TargetCheck::new(self.target));
            if check.finish(&"what an earlier run left").is_ok() {
                return Ok(true);
            }
            self.restart()?;
        } else if length > 0 {
            self.part = Some(Part { url: None, tag: None, length });
        }
        Ok(false)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.part = None;
        self.check = TargetCheck::new(self.target);
        self.sink.restart()
    }

    /// Refuses the target if anything differs.
    fn finish(&mut self, url: &SafeUrl) -> Result<(), UpdateError> {
        std::mem::replace(&mut self.check, TargetCheck::new(self.target)).finish(url)
    }
}

/// Where the bytes of a target go while they are checked.
trait TargetSink {
    /// Takes over what an earlier run left, and hands it to `taken`. Where that fails, nothing of it is left but what
    /// [`Self::restart`] forgets.
    fn take_over(&mut self, _: &FoundTarget, _taken: &mut dyn FnMut(&Bytes)) -> io::Result<()> {
        Ok(())
    }

    /// Does without what an earlier run left.
    fn pass_over(&mut self) {}

    fn take(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Forgets what was taken.
    fn restart(&mut self) -> io::Result<()>;
}

/// Only checks.
struct Nowhere;

impl TargetSink for Nowhere {
    fn take(&mut self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl TargetSink for Vec<u8> {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.extend_from_slice(bytes);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.clear();
        Ok(())
    }
}

/// A file that becomes the target.
struct TargetFile<'a, P> {
    file: Arriving,
    so_far: u64,
    progress: &'a mut P,
    syncing: Option<Syncing>,
}

impl<P> TargetFile<'_, P> {
    fn finish(self, survives: Survives) -> io::Result<()> {
        if let Some(syncing) = self.syncing {
            syncing.finish()?;
        }
        self.file.finish(survives)
    }
}

impl<P: FnMut(u64)> TargetSink for TargetFile<'_, P> {
    fn take_over(&mut self, target: &FoundTarget, taken: &mut dyn FnMut(&Bytes)) -> io::Result<()> {
        let so_far = &mut self.so_far;
        self.file.take_over(target, |piece| {
            *so_far += piece.len() as u64;
            taken(piece);
        })?;
        (self.progress)(self.so_far);
        Ok(())
    }

    fn pass_over(&mut self) {
        self.file.pass_over();
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.so_far += bytes.len() as u64;
        (self.progress)(self.so_far);
        self.file.write(bytes)?;
        if let Some(syncing) = &mut self.syncing {
            syncing.wrote(bytes.len() as u64);
        }
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.so_far = 0;
        self.file.restart()
    }
}

/// From how many bytes on a long target is synced while it still arrives, so that there is little left to wait for.
const SYNCED_ASIDE: u64 = 32 << 20;

/// Syncs a file that is being written, on a thread of its own.
struct Syncing {
    /// Holds one request: there may be one more while the disk is busy, and no more than that.
    requests: SyncSender<()>,
    thread: JoinHandle<io::Result<()>>,
    unsynced: u64,
}

impl Syncing {
    /// `None` where it is not worth a thread, or there is none to be had.
    fn begin(file: &File, target: &FoundTarget, survives: Survives) -> io::Result<Option<Self>> {
        if target.file.length < 2 * SYNCED_ASIDE || survives == Survives::Crash {
            return Ok(None);
        }
        let file = file.try_clone()?;
        let (requests, waiting) = sync_channel(1);
        let sync = move || waiting.into_iter().try_for_each(|()| file.sync_data());
        let thread = std::thread::Builder::new().name("trustroot-sync".to_owned()).spawn(sync);
        Ok(thread.ok().map(|thread| Self { requests, thread, unsynced: 0 }))
    }

    fn wrote(&mut self, bytes: u64) {
        self.unsynced += bytes;
        // Where the disk is slower than the network, it is asked again later.
        if self.unsynced >= SYNCED_ASIDE && self.requests.try_send(()).is_ok() {
            self.unsynced = 0;
        }
    }

    /// The system tells of a failed write once, and this thread may have been the one that it told.
    fn finish(self) -> io::Result<()> {
        drop(self.requests);
        self.thread.join().expect("syncing does not panic")
    }
}

/// Length and hashes of a target, checked as its bytes pass.
struct TargetCheck<'a> {
    target: &'a FoundTarget,
    length: u64,
    hasher: Hasher,
}

/// From this length on a target is hashed beside its arrival, on a thread of its own.
const HASHED_ASIDE: u64 = 8 << 20;

/// How many pieces may wait to be hashed.
const PIECES_WAITING: usize = 8;

enum Hasher {
    Here(Digester),
    Aside(SyncSender<Bytes>, JoinHandle<Digester>),
}

impl Hasher {
    fn new(target: &FoundTarget) -> Self {
        let mut digester = Digester::new(target.file.hashes.iter().map(|(algorithm, _)| algorithm));
        if target.file.length < HASHED_ASIDE {
            return Self::Here(digester);
        }
        let (sender, pieces) = sync_channel::<Bytes>(PIECES_WAITING);
        let thread = std::thread::Builder::new().name("trustroot-hash".to_owned()).spawn(move || {
            for piece in pieces {
                digester.update(&piece);
            }
            digester
        });
        match thread {
            Ok(thread) => Self::Aside(sender, thread),
            // A system that has no thread left can still hash.
            Err(_) => Self::Here(Digester::new(target.file.hashes.iter().map(|(algorithm, _)| algorithm))),
        }
    }

    fn finish(self) -> Vec<(HashAlgorithm, Vec<u8>)> {
        match self {
            Self::Here(digester) => digester.finish(),
            Self::Aside(sender, thread) => {
                drop(sender);
                thread.join().expect("hashing does not panic").finish()
            }
        }
    }
}

impl<'a> TargetCheck<'a> {
    fn new(target: &'a FoundTarget) -> Self {
        Self { target, length: 0, hasher: Hasher::new(target) }
    }

    fn length(&self) -> u64 {
        self.length
    }

    fn update(&mut self, chunk: &Bytes) {
        self.length += chunk.len() as u64;
        match &mut self.hasher {
            Hasher::Here(digester) => digester.update(chunk),
            Hasher::Aside(sender, _) => sender.send(chunk.clone()).expect("the thread takes pieces until the end"),
        }
    }

    /// Refuses the target if anything differs. `source` is where its bytes came from.
    fn finish(self, source: &dyn std::fmt::Display) -> Result<(), UpdateError> {
        let (offered, expected) = (self.length, self.target.file.length);
        if offered != expected {
            let (from, role) = (source.to_string(), self.target.role.clone());
            return Err(UpdateError::WrongTargetLength { from, role, offered, expected });
        }
        let digests = self.hasher.finish();
        for ((algorithm, expected), (_, digest)) in self.target.file.hashes.iter().zip(digests) {
            if expected != digest {
                let (from, role) = (source.to_string(), self.target.role.clone());
                return Err(UpdateError::WrongTargetHash { from, role, algorithm });
            }
        }
        Ok(())
    }
}

/// Whether the file at `path` is the target already.
///
/// # Errors
/// When it is there but cannot be read.
pub fn is_target(path: &Path, target: &FoundTarget) -> io::Result<bool> {
    if !may_be_target(path, target)? {
        return Ok(false);
    }
    match read_target(path, target, |_| Ok(())) {
        Ok(()) => Ok(true),
        Err(UpdateError::Io(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

/// Whether there is a file of the target's length.
fn may_be_target(path: &Path, target: &FoundTarget) -> io::Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(metadata.is_file() && metadata.len() == target.file.length),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Hands a target that is on disk to `sink`, checking it on the way.
fn read_target(
    path: &Path,
    target: &FoundTarget,
    mut sink: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<(), UpdateError> {
    let mut check = TargetCheck::new(target);
    let mut file = fs::File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            length => {
                let piece = Bytes::copy_from_slice(&buffer[..length]);
                check.update(&piece);
                sink(&piece)?;
            }
        }
    }
    check.finish(&path.display())
}
