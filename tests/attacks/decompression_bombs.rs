//! Decompression bombs: a short answer that stands for a long one, or for nothing, or for something else.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::http::{Reply, Site, with_head};

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A zstd frame of `blocks` blocks (RFC 8878 section 3.1.1.2), each of which stands for 128 KiB of white space in 4 bytes.
fn zstd_bomb(blocks: usize) -> Vec<u8> {
    // Magic number; no checksum and no length; a window of 2 MiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for block in 1..=blocks {
        let header = u32::from(block == blocks) | (1 << 1) | (128 * 1024) << 3;
        frame.extend_from_slice(&header.to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame
}

fn encoded(coding: &str, bytes: &[u8]) -> Reply {
    Reply::Bytes(with_head(&format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}"), bytes))
}

#[test]
fn what_is_compressed_honestly_is_read() {
    let mut site = Site::with_news();
    let snapshot = site.repository.bytes("snapshot");
    site.reply(&site.repository.file_of("snapshot"), encoded("gzip", &gzip(&snapshot)));
    site.client.refresh().unwrap();
    assert_eq!(site.client.cached("snapshot"), Some(snapshot));
}

#[test]
fn bombs_of_either_coding_are_cut_off_and_move_nothing() {
    let started = Instant::now();
    let white = vec![b' '; 64 << 20];
    let gzipped = gzip(&white);
    // A gigabyte in 32 kB, and 64 MiB in less than one.
    for (coding, bomb) in [("gzip", gzipped), ("zstd", zstd_bomb(8192))] {
        assert!(bomb.len() < 400_000, "{}", bomb.len());
        let mut site = Site::with_news();
        site.root_fails(encoded(coding, &bomb), "too-long", coding);
        // A target is asked for as it is.
        site.tool_fails(encoded(coding, &bomb), "transport", coding);
        site.heals();
    }
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
}

#[test]
fn codings_that_are_broken_or_were_not_asked_for_move_nothing() {
    let mut site = Site::with_news();
    let honest = site.repository.bytes("timestamp");
    let once = gzip(&honest);
    let mut damaged = once.clone();
    damaged[once.len() / 2] ^= 0xff;
    let zstd = zstd_bomb(1);
    for (coding, bytes, code) in [
        ("gzip", &once[..once.len() - 4], "transport"),
        ("gzip", &damaged, "transport or malformed"),
        ("gzip", &honest, "transport"),
        ("gzip", &[once.as_slice(), b"more"].concat(), "transport"),
        ("gzip", &gzip(&once), "malformed"),
        ("gzip, gzip", &gzip(&once), "transport"),
        ("gzip\r\ncontent-encoding: gzip", &gzip(&once), "transport"),
        ("identity", &once, "malformed"),
        ("br", &honest, "transport"),
        ("deflate", &honest, "transport"),
        ("compress", &honest, "transport"),
        ("\u{e9}", &honest, "transport"),
        ("zstd", &zstd[..zstd.len() - 1], "transport"),
        ("zstd", &honest, "transport"),
        ("zstd", &once, "transport"),
        ("gzip", &zstd, "transport"),
        ("gzip", &[], "transport or malformed"),
        ("zstd", &[], "transport or malformed"),
    ] {
        site.root_fails(encoded(coding, bytes), code, coding);
    }
    site.heals();
}

#[test]
fn what_stands_for_nothing_does_not_go_on_for_ever() {
    let mut site = Site::with_news();
    // Empty members of gzip, empty blocks and skippable frames of zstd: a megabyte a second, and not one byte of metadata.
    let zstd_head = zstd_bomb(0);
    for (coding, first, again) in [
        ("gzip", Vec::new(), gzip(b"").repeat(1000)),
        ("zstd", zstd_head, vec![0; 3000]),
        ("zstd", Vec::new(), [&[0x50, 0x2a, 0x4d, 0x18, 0, 4, 0, 0][..], &[0; 1024]].concat()),
    ] {
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\n\r\n").into_bytes();
        let reply = Reply::Forever([head, first].concat(), Duration::from_micros(100), again);
        site.root_fails(reply, "transport or too-long", coding);
    }
    site.heals();
}
