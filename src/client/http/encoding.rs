//! Undoes content codings, piece by piece: gzip (RFC 1952) and zstd (RFC 8878).
//!
//! A piece is at most a few dozen KiB however well it was compressed, so that whoever takes the pieces can stop a bomb
//! as early as any other endless answer. What decodes to nothing is bounded as well.

use std::io::{self, Read as _, Write as _};

use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;
use hyper::header::{CONTENT_ENCODING, HeaderMap};
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::WireChunks;
use crate::client::fetcher::{ChunkFuture, Chunks, FetchError};

/// The codings that are asked for, the better first.
pub(super) const ACCEPTED: &str = "zstd, gzip";

/// The longest piece of zstd handed out at once, in bytes.
const PIECE: usize = 64 * 1024;

/// The largest window of zstd, in bytes: what RFC 9659 allows on the web.
const LARGEST_WINDOW: u64 = 8 * 1024 * 1024;

/// How many bytes a coding may add before it is called nonsense: a block of either coding, and then some.
const MOST_OVERHEAD: u64 = 256 * 1024;

/// A content coding (RFC 9110 section 8.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// The coding of an answer: `None` for one as it is.
    ///
    /// # Errors
    /// What the answer says, where that is none of ours. Codings on top of each other are not taken.
    pub(super) fn of(headers: &HeaderMap) -> Result<Option<Self>, String> {
        let mut fields = headers.get_all(CONTENT_ENCODING).iter();
        let Some(field) = fields.next() else { return Ok(None) };
        if fields.next().is_some() {
            return Err("it has several content codings".to_owned());
        }
        match field.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "identity" => Ok(None),
            "gzip" | "x-gzip" => Ok(Some(Self::Gzip)),
            "zstd" => Ok(Some(Self::Zstd)),
            _ => Err("it has a content coding that is not known here".to_owned()),
        }
    }
}

/// The pieces of an encoded body, decoded.
pub(super) struct DecodedChunks {
    wire: WireChunks,
    /// What has arrived and is not decoded yet.
    input: Bytes,
    received: u64,
    decoder: Option<Decoder>,
}

impl DecodedChunks {
    pub(super) fn new(wire: WireChunks, coding: Coding) -> Self {
        Self { wire, input: Bytes::new(), received: 0, decoder: Some(Decoder::new(coding)) }
    }
}

impl Chunks for DecodedChunks {
    fn next(&mut self) -> ChunkFuture<'_> {
        Box::pin(async move {
            let url = self.wire.url().clone();
            let broken = |reason| FetchError::Transport { url: url.clone(), reason };
            let Some(decoder) = &mut self.decoder else { return Ok(None) };
            let piece = decoder.decode(&mut self.input).map_err(broken)?;
            if !piece.is_empty() || !self.input.is_empty() {
                return Ok(Some(piece));
            }
            match self.wire.next().await? {
                Some(chunk) => {
                    self.received += chunk.len() as u64;
                    self.input = chunk;
                    // Perhaps an empty piece: the pace of what is decoded is judged all the same.
                    Ok(Some(decoder.decode(&mut self.input).map_err(broken)?))
                }
                None => {
                    let rest = self.decoder.take().map(Decoder::finish).transpose().map_err(broken)?;
                    Ok(rest.filter(|rest| !rest.is_empty()))
                }
            }
        })
    }

    fn wire_bytes(&self) -> Option<u64> {
        Some(self.received)
    }
}

/// One body being decoded.
struct Decoder {
    coding: State,
    taken: u64,
    given: u64,
}

enum State {
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<Zstd>),
}

impl Decoder {
    fn new(coding: Coding) -> Self {
        let coding = match coding {
            Coding::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))),
            Coding::Zstd => State::Zstd(Box::new(Zstd::new())),
        };
        Self { coding, taken: 0, given: 0 }
    }

    /// Takes as much of `input` as the next piece needs; an empty piece where there is too little of it.
    ///
    /// Always takes or gives something as long as there is input.
    fn decode(&mut self, input: &mut Bytes) -> Result<Bytes, String> {
        let before = input.len();
        let piece = match &mut self.coding {
            State::Gzip(decoder) => {
                if !input.is_empty() {
                    let taken = decoder.write(input).map_err(|error| broken_gzip(&error))?;
                    input.advance(taken);
                }
                std::mem::take(decoder.get_mut())
            }
            State::Zstd(decoder) => decoder.decode(input)?,
        };
        let taken = before - input.len();
        if before > 0 && taken == 0 && piece.is_empty() {
            return Err("the compressed data is broken: it does not go on".to_owned());
        }
        self.taken += taken as u64;
        self.given += piece.len() as u64;
        if self.taken > self.given + self.given / 8 + MOST_OVERHEAD {
            return Err("the compressed data is much longer than what it stands for".to_owned());
        }
        Ok(piece.into())
    }

    /// Ends, where the data may end; gives what is left.
    fn finish(self) -> Result<Bytes, String> {
        match self.coding {
            State::Gzip(decoder) => decoder.finish().map(Bytes::from).map_err(|error| broken_gzip(&error)),
            State::Zstd(decoder) => decoder.finish().map(|()| Bytes::new()),
        }
    }
}

fn broken_gzip(error: &io::Error) -> String {
    format!("the gzip data is broken: {error}")
}

/// Zstandard, fed a block at a time: the decoder below decodes all that it is given, and 4 bytes may stand for 128 KiB.
struct Zstd {
    frames: FrameDecoder,
    at: At,
    /// The beginning of the next header, or of the next block with its header.
    held: Vec<u8>,
    /// Whether a frame has begun.
    begun: bool,
}

/// Where in the stream a decoder is.
#[derive(Clone, Copy)]
enum At {
    /// Before a frame, or at the end.
    Frame,
    /// Within a frame that is to be skipped, so many bytes before its end.
    Skipped(u32),
    /// Before a block.
    Block { checksum: bool },
    /// After the last block of a frame that is not handed out yet.
    Rest,
}

impl Zstd {
    fn new() -> Self {
        let mut frames = FrameDecoder::new();
        frames.set_max_window_size(LARGEST_WINDOW);
        Self { frames, at: At::Frame, held: Vec::new(), begun: false }
    }

    fn decode(&mut self, input: &mut Bytes) -> Result<Vec<u8>, String> {
        let broken = |error: FrameDecoderError| format!("the zstd data is broken: {error}");
        loop {
            let ready = self.frames.can_collect();
            if ready > 0 {
                let mut piece = vec![0; ready.min(PIECE)];
                let length = self.frames.read(&mut piece).map_err(|error| error.to_string())?;
                piece.truncate(length);
                return Ok(piece);
            }
            match self.at {
                At::Rest => {
                    // The sum is over what was handed out, so it is complete only here.
                    if self.frames.get_checksum_from_data().is_some()
                        && self.frames.get_checksum_from_data() != self.frames.get_calculated_checksum()
                    {
                        return Err("the zstd data is broken: the checksum differs".to_owned());
                    }
                    self.at = At::Frame;
                }
                At::Frame => {
                    if !(self.hold(input, 5) && self.hold(input, frame_header_length(&self.held))) {
                        return Ok(Vec::new());
                    }
                    self.begun = true;
                    self.at = match self.frames.reset(&*self.held) {
                        Ok(()) => At::Block { checksum: self.held[4] & 0b100 != 0 },
                        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                            length,
                            ..
                        })) => At::Skipped(length),
                        Err(error) => return Err(broken(error)),
                    };
                    self.held.clear();
                }
                At::Skipped(length) => {
                    let some = u32::try_from(input.len()).unwrap_or(u32::MAX).min(length);
                    input.advance(some as usize);
                    if some < length {
                        self.at = At::Skipped(length - some);
                        return Ok(Vec::new());
                    }
                    self.at = At::Frame;
                }
                At::Block { checksum } => {
                    if !self.hold(input, 3) {
                        return Ok(Vec::new());
                    }
                    let (last, length) =
                        block_header(&self.held).ok_or("the zstd data is broken: a block is too long")?;
                    let after = if last && checksum { 4 } else { 0 };
                    if !self.hold(input, 3 + length + after) {
                        return Ok(Vec::new());
                    }
                    self.frames.decode_blocks(&*self.held, BlockDecodingStrategy::UptoBlocks(1)).map_err(broken)?;
                    self.held.clear();
                    if last {
                        self.at = At::Rest;
                    }
                }
            }
        }
    }

    /// Moves bytes from `input` until `length` are held; whether there were enough.
    fn hold(&mut self, input: &mut Bytes, length: usize) -> bool {
        let some = length.saturating_sub(self.held.len()).min(input.len());
        self.held.extend_from_slice(&input[..some]);
        input.advance(some);
        self.held.len() >= length
    }

    fn finish(mut self) -> Result<(), String> {
        let whole = self.decode(&mut Bytes::new())?.is_empty()
            && self.begun
            && self.held.is_empty()
            && matches!(self.at, At::Frame);
        if whole { Ok(()) } else { Err("the zstd data ends too early".to_owned()) }
    }
}

/// How long the header of a frame is, in bytes, by its first five (RFC 8878 section 3.1.1.1).
fn frame_header_length(start: &[u8]) -> usize {
    // The magic numbers of frames to be skipped differ in four bits; a length follows.
    if start[1..4] == [0x2a, 0x4d, 0x18] && start[0] >> 4 == 5 {
        return 8;
    }
    let descriptor = start[4];
    let single_segment = descriptor & 0b10_0000 != 0;
    let window = usize::from(!single_segment);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 0b11)];
    let content_size = [usize::from(single_segment), 2, 4, 8][usize::from(descriptor >> 6)];
    5 + window + dictionary + content_size
}

/// Whether a block is the last one of its frame, and how many bytes follow its header (RFC 8878 section 3.1.1.2);
/// `None` where that is more than a block may have.
fn block_header(start: &[u8]) -> Option<(bool, usize)> {
    let bits = usize::from(start[0]) | usize::from(start[1]) << 8 | usize::from(start[2]) << 16;
    let repeats_one_byte = (bits >> 1) & 0b11 == 1;
    let length = if repeats_one_byte { 1 } else { bits >> 3 };
    (length <= 128 * 1024).then_some((bits & 1 == 1, length))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn encode(coding: Coding, data: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
                encoder.write_all(data).unwrap();
                encoder.finish().unwrap()
            }
            Coding::Zstd => compress_to_vec(data, CompressionLevel::Fastest),
        }
    }

    /// Decodes what arrives in chunks of `size`; also the longest piece.
    fn decode(coding: Coding, encoded: &[u8], size: usize) -> Result<(Vec<u8>, usize), String> {
        let mut decoder = Decoder::new(coding);
        let (mut whole, mut longest) = (Vec::new(), 0);
        for chunk in encoded.chunks(size) {
            let mut input = Bytes::copy_from_slice(chunk);
            loop {
                let piece = decoder.decode(&mut input)?;
                longest = longest.max(piece.len());
                whole.extend_from_slice(&piece);
                if piece.is_empty() && input.is_empty() {
                    break;
                }
            }
        }
        let rest = decoder.finish()?;
        longest = longest.max(rest.len());
        whole.extend_from_slice(&rest);
        Ok((whole, longest))
    }

    const BOTH: [Coding; 2] = [Coding::Gzip, Coding::Zstd];

    /// Text that compresses somewhat, as metadata does.
    fn text(length: usize) -> Vec<u8> {
        let mut state = 1_u32;
        let mut text = Vec::new();
        while text.len() < length {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            text.extend_from_slice(format!("\"{:08x}\":{{\"length\":{}}},", state, state >> 20).as_bytes());
        }
        text.truncate(length);
        text
    }

    #[test]
    fn what_was_encoded_is_decoded_however_it_arrives() {
        for coding in BOTH {
            for length in [0, 1, 1000, 70_000, 1_000_000] {
                let data = text(length);
                let encoded = encode(coding, &data);
                for size in [1, 2, 7, 1000, usize::MAX] {
                    let (decoded, longest) = decode(coding, &encoded, size).unwrap();
                    assert!(decoded == data, "{coding:?}, {length} bytes in pieces of {size}");
                    assert!(longest <= 2 * PIECE, "{coding:?}: a piece of {longest}");
                }
            }
        }
    }

    #[test]
    fn parts_one_after_another_are_decoded() {
        for coding in BOTH {
            let encoded = [encode(coding, b"one, "), encode(coding, b""), encode(coding, b"two")].concat();
            for size in [1, 3, usize::MAX] {
                assert_eq!(decode(coding, &encoded, size).unwrap().0, b"one, two");
            }
        }
        let skipped = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let encoded = [&skipped[..], &encode(Coding::Zstd, b"seen"), &skipped].concat();
        for size in [1, 3, usize::MAX] {
            assert_eq!(decode(Coding::Zstd, &encoded, size).unwrap().0, b"seen");
        }
    }

    #[test]
    fn a_bomb_comes_in_small_pieces() {
        for coding in BOTH {
            let encoded = encode(coding, &vec![0; 20_000_000]);
            assert!(encoded.len() < 100_000);
            let (decoded, longest) = decode(coding, &encoded, usize::MAX).unwrap();
            assert_eq!(decoded.len(), 20_000_000);
            assert!(longest <= 2 * PIECE, "{coding:?}: a piece of {longest}");
        }
    }

    #[test]
    fn what_ends_early_or_late_is_refused() {
        for coding in BOTH {
            let encoded = encode(coding, &text(1000));
            for length in 0..encoded.len() {
                assert!(decode(coding, &encoded[..length], usize::MAX).is_err(), "{coding:?} of {length} bytes");
            }
            for trailing in [&b"x"[..], b"\0", b"trailing garbage", &encoded[..20]] {
                let longer = [&encoded, trailing].concat();
                assert!(decode(coding, &longer, usize::MAX).is_err(), "{coding:?} with {trailing:?}");
                assert!(decode(coding, &longer, 1).is_err(), "{coding:?} with {trailing:?}");
            }
        }
    }

    #[test]
    fn what_was_damaged_is_noticed() {
        let data = text(1000);
        for coding in BOTH {
            let encoded = encode(coding, &data);
            for place in 0..encoded.len() {
                let mut damaged = encoded.clone();
                damaged[place] ^= 0x10;
                // Some fields of the headers mean nothing to us, such as a time.
                let decoded = decode(coding, &damaged, usize::MAX);
                assert!(decoded.is_err() || decoded.unwrap().0 == data, "{coding:?} damaged at {place}");
            }
        }
    }

    #[test]
    fn parts_that_stand_for_nothing_do_not_go_on_for_ever() {
        for coding in BOTH {
            let encoded = encode(coding, b"").repeat(100_000);
            let error = decode(coding, &encoded, usize::MAX).unwrap_err();
            assert!(error.contains("much longer"), "{coding:?}: {error}");
        }
        let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0x40][..], &vec![0; 1_000_000]].concat();
        assert!(decode(Coding::Zstd, &skipped, 1000).unwrap_err().contains("much longer"));
        // A header that does not end.
        let header = [&[0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 0][..], &vec![b'x'; 1_000_000]].concat();
        assert!(decode(Coding::Gzip, &header, 1000).is_err());
    }

    #[test]
    fn a_window_that_is_too_large_is_refused() {
        // Exponent 14, mantissa 0: 2^24 bytes.
        let large = [0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3, 1, 0, 0];
        assert!(decode(Coding::Zstd, &large, usize::MAX).unwrap_err().contains("window"));
        let allowed = [0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 1, 0, 0];
        assert_eq!(decode(Coding::Zstd, &allowed, usize::MAX).unwrap().0, b"");
    }

    proptest! {
        /// Whatever arrives is decoded or refused.
        #[test]
        fn any_bytes_are_decoded_or_refused(
            mut data in proptest::collection::vec(any::<u8>(), 0..300),
            places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            size in 1_usize..50,
        ) {
            data.extend_from_slice(&text(2000));
            for coding in BOTH {
                let mut encoded = encode(coding, &data);
                for (place, byte) in &places {
                    let place = place.index(encoded.len());
                    encoded[place] = *byte;
                }
                let _ = decode(coding, &encoded, size);
                let _ = decode(coding, &data, size);
            }
        }
    }
}
