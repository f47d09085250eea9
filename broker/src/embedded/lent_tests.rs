//! Answers from files: whatever way their batches take, the bytes are the same, and damage ends them in time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, IoSlice, Read};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::batch::tests::sample;
use super::batch::{placed, with_records};
use super::error::RequestError;
use super::fuzz_draw::Chance;
use super::lent::{Lent, Piece, Sink, bytes_held, write_answer};
use super::outlet::Outlet;
use super::segment_file::{FRAME_BYTES, read_at};
use super::segment_tests::{World, world};
use super::segments::{Segments, Spot};

/// What an answer was.
#[derive(Debug, Default)]
pub(super) struct Paper {
    whole: RefCell<Vec<u8>>,
    /// Bytes that were sent without being read.
    sent: Cell<usize>,
    /// Whether it was said of the last of them that more would come.
    is_open: Cell<bool>,
    /// What the system sends at most of one batch.
    sends: usize,
}

impl Sink for Paper {
    fn write(&self, slices: &mut [IoSlice<'_>], more: bool) -> Result<(), RequestError> {
        for slice in slices {
            self.whole.borrow_mut().extend_from_slice(slice);
        }
        self.is_open.set(more);
        Ok(())
    }

    fn send(&self, file: &File, from: u64, to: u64) -> Result<u64, RequestError> {
        let wanted = usize::try_from(to - from).unwrap();
        let mut bytes = vec![0; wanted.min(self.sends)];
        if bytes.is_empty() || read_at(file, &mut bytes, from).is_err() {
            return Ok(from);
        }
        self.whole.borrow_mut().extend_from_slice(&bytes);
        self.sent.set(self.sent.get() + bytes.len());
        self.is_open.set(false);
        Ok(from + bytes.len() as u64)
    }
}

/// An answer in one piece.
pub(super) fn joined(pieces: &[Piece], segments: &Segments) -> Result<Bytes, RequestError> {
    let paper = Paper::default();
    write_answer(pieces, segments, &paper)?;
    Ok(paper.whole.into_inner().into())
}

/// A sound batch of so many bytes at this offset.
fn batch(offset: i64, size: usize) -> Bytes {
    let one = placed(sample(-1, -1, -1, &[1]), offset, None);
    let records: Vec<u8> = (0..size - 61)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect();
    with_records(&one, 1, 1, &records)
}

/// Batches of these sizes, from offset 1 on.
fn batches(sizes: &[usize]) -> Vec<Bytes> {
    (1..)
        .zip(sizes)
        .map(|(offset, size)| batch(offset, *size))
        .collect()
}

/// A broker's files with these batches in a segment, one behind the other. Their rows are those of a partition 0.
fn written(batches: &[Bytes]) -> (World, Vec<Spot>) {
    let mut world = world(64 << 20);
    world.ledger.begin(0).unwrap();
    // Without a row in SQLite's file, a segment would be gone with the next start.
    world.put();
    let spots = batches.iter().zip(1..).map(|(batch, row)| {
        let appender = &mut world.ledger.appender;
        appender
            .take(&world.ledger.db, row, batch)
            .unwrap()
            .unwrap()
    });
    let spots = spots.collect();
    world.ledger.commit().unwrap();
    (world, spots)
}

fn lent(segments: &Segments, spots: &[Spot]) -> Vec<Piece> {
    let lend = |(spot, row): (&Spot, i64)| segments.lend(row, *spot, 9).unwrap();
    spots.iter().zip(1..).map(lend).map(Piece::Lent).collect()
}

#[test]
fn an_answer_is_the_same_whatever_way_its_batches_take() {
    for seed in 0..40 {
        let mut chance = Chance::of_input(1, seed);
        let size = |chance: &mut Chance| {
            let most = *chance.of(&[100, 100, 5_000, 20_000, 300_000, 700_000]);
            61 + chance.below(most)
        };
        let sizes: Vec<usize> = (0..12).map(|_| size(&mut chance)).collect();
        let batches = batches(&sizes);
        let (world, spots) = written(&batches);
        let before = Arc::clone(&world.ledger.appender.segments);
        let of_writer = lent(&before, &spots);
        let world = world.restart();
        let segments = &world.ledger.appender.segments;
        let fresh = lent(segments, &spots);
        let is_checked = |pieces: &[Piece]| {
            let is = |piece: &Piece| matches!(piece, Piece::Lent(lent) if lent.is_checked);
            pieces.iter().map(is).collect::<Vec<_>>()
        };
        assert_eq!(is_checked(&of_writer), [true; 12]);
        assert_eq!(is_checked(&fresh), [false; 12]);
        // Some of them, and text between them.
        let chosen: Vec<(usize, bool)> = (0..12)
            .map(|at| (at, chance.below(8)))
            .filter(|(_, draw)| draw % 4 > 0)
            .map(|(at, draw)| (at, draw > 3))
            .collect();
        let with_text = |pieces: &[Piece]| {
            let mut answer = vec![Piece::Memory(Bytes::from_static(b"head"))];
            for (at, text) in &chosen {
                answer.push(pieces[*at].clone());
                answer.extend(text.then(|| Piece::Memory(Bytes::from(vec![b't'; 300]))));
            }
            answer
        };
        let plain: Vec<Piece> = batches.iter().cloned().map(Piece::Memory).collect();
        let expected = joined(&with_text(&plain), segments).unwrap();
        let mut known = lent(segments, &spots);
        for round in 0..2 {
            for sends in [0, 9_000, usize::MAX] {
                let paper = Paper {
                    sends,
                    ..Paper::default()
                };
                let pieces = with_text(&known);
                write_answer(&pieces, segments, &paper).unwrap();
                assert!(*paper.whole.borrow() == expected, "seed {seed}");
                assert!(!paper.is_open.get(), "seed {seed}");
                let large = pieces.iter().filter_map(|piece| match piece {
                    Piece::Lent(lent) if lent.is_checked => Some(piece.len()),
                    Piece::Lent(_) | Piece::Memory(_) => None,
                });
                let mut large = large.filter(|bytes| *bytes >= 16 << 10);
                // Where it cannot go on once, it is not tried again.
                let sent = match sends {
                    usize::MAX => large.sum(),
                    part => large.next().map_or(0, |bytes| bytes.min(part)),
                };
                assert_eq!(paper.sent.get(), sent, "seed {seed}");
                let text = chosen.iter().filter(|(_, text)| *text).count() * 300 + 4;
                let gap = (4 << 10) + FRAME_BYTES;
                let read: usize = chosen.iter().map(|(at, _)| sizes[*at] + gap).sum();
                let of_pieces = pieces.len() * 2 * size_of::<Piece>();
                let held = text + of_pieces + read.min(256 << 10);
                assert_eq!(bytes_held(&[&pieces]), held, "seed {seed}");
            }
            // What was read once is known if it is large, and what was not is not.
            known = lent(segments, &spots);
            for (at, is_known) in is_checked(&known).into_iter().enumerate() {
                let was_read = chosen.iter().any(|(chosen, _)| *chosen == at);
                assert!(was_read || !is_known, "seed {seed} round {round}");
                assert!(!was_read || is_known || sizes[at] < 16 << 10, "seed {seed}");
            }
        }
    }
}

#[test]
fn damage_ends_an_answer_before_the_end_of_the_batch_and_is_told_the_next_time() {
    // A byte of the row, of the length, of the batch's offset, its length, its checksum, and of what that covers.
    let places: [fn(usize) -> usize; 7] = [
        |_| 6,
        |_| 10,
        |_| FRAME_BYTES + 6,
        |_| FRAME_BYTES + 10,
        |_| FRAME_BYTES + 18,
        |size| FRAME_BYTES + 21 + (size - 21) / 2,
        |size| FRAME_BYTES + size - 1,
    ];
    for size in [70, 20_000, 256 << 10, 600_000] {
        for place in places {
            let batches = batches(&[100, size, 100]);
            let (world, spots) = written(&batches);
            let file = world.names()[0].clone();
            let world = world.restart();
            let mut bytes = fs::read(&file).unwrap();
            let Range { start, .. } = spots[1].frame().unwrap();
            bytes[usize::try_from(start).unwrap() + place(size)] ^= 1;
            fs::write(&file, bytes).unwrap();
            let segments = &world.ledger.appender.segments;
            let paper = Paper {
                sends: usize::MAX,
                ..Paper::default()
            };
            let ended = write_answer(&lent(segments, &spots), segments, &paper).unwrap_err();
            let said = ended.to_string();
            assert!(
                matches!(ended, RequestError::Unreadable { .. }) && said.contains("as it was"),
                "{said}"
            );
            assert!(paper.whole.borrow().len() < 100 + size, "{size}");
            assert!(segments.lend(2, spots[1], 9).is_none());
            for (row, spot) in [(1, spots[0]), (3, spots[2])] {
                assert!(segments.lend(row, spot, 9).is_some(), "others are lent");
            }
        }
    }
}

#[test]
fn what_is_cut_off_while_it_is_given_out_costs_one_answer() {
    let large = vec![20_000; 2];
    let cases = [
        (large.clone(), 0),
        (large, usize::MAX),
        (vec![500; 40], usize::MAX),
    ];
    for (sizes, sends) in cases {
        let all = batches(&sizes);
        let (world, spots) = written(&all);
        let segments = &world.ledger.appender.segments;
        let pieces = lent(segments, &spots);
        let file = fs::OpenOptions::new().write(true).open(&world.names()[0]);
        let cut = spots.last().and_then(Spot::frame).unwrap().end - 1;
        file.unwrap().set_len(cut).unwrap();
        let paper = || Paper {
            sends,
            ..Paper::default()
        };
        let first = paper();
        let ended = write_answer(&pieces, segments, &first).unwrap_err();
        assert!(matches!(ended, RequestError::Unreadable { .. }), "{ended}");
        assert!(first.whole.borrow().len() < sizes.iter().sum());
        // The next one: what is not lent any more is read before it is begun, and the last one cannot be.
        let next = (1..).zip(&spots).map_while(|(row, spot)| {
            let lent = segments.lend(row, *spot, 9).map(Piece::Lent);
            lent.or_else(|| segments.read(row, *spot).ok().map(Piece::Memory))
        });
        let next: Vec<Piece> = next.collect();
        let second = paper();
        write_answer(&next, segments, &second).unwrap();
        assert!(*second.whole.borrow() == all[..all.len() - 1].concat());
    }
}

/// A connection, as the broker has it.
fn connected(idle_max: Duration, segments: &Arc<Segments>) -> (Outlet, TcpStream) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let reader = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, _) = listener.accept().unwrap();
    stream.set_write_timeout(Some(idle_max)).unwrap();
    let outlet = Outlet::new(&Arc::new(stream), idle_max, segments).unwrap();
    (outlet, reader)
}

#[test]
fn a_reader_gets_what_is_larger_than_its_connection_takes_and_one_that_does_not_read_is_the_reason()
{
    let (world, spots) = written(&batches(&[20_000, 5 << 20, 300_000]));
    let writers = Arc::clone(&world.ledger.appender.segments);
    // What is known, and what is checked on its way.
    let known = lent(&writers, &spots);
    let expected = joined(&known, &writers).unwrap();
    let world = world.restart();
    let segments = &world.ledger.appender.segments;
    for pieces in [known, lent(segments, &spots)] {
        let (outlet, mut reader) = connected(Duration::from_secs(60), segments);
        let read = thread::spawn(move || {
            let mut whole = Vec::new();
            reader.read_to_end(&mut whole).unwrap();
            whole
        });
        outlet.write_pieces(&pieces).unwrap();
        drop(outlet);
        assert!(read.join().unwrap() == expected);
        let (outlet, deaf) = connected(Duration::from_millis(50), segments);
        let ended = outlet.write_pieces(&pieces).unwrap_err();
        assert!(matches!(ended, RequestError::Unread { .. }), "{ended}");
        drop(deaf);
        let ended = outlet.write_pieces(&pieces).unwrap_err();
        assert!(matches!(ended, RequestError::Closed(_)), "{ended}");
        assert_eq!(
            lent(segments, &spots).len(),
            3,
            "nothing is known against them"
        );
    }
}

#[test]
fn no_more_files_are_lent_than_may_be_open_though_they_are_deleted_meanwhile() {
    let mut world = world(1);
    let all: Vec<Spot> = (1..=40)
        .map(|row| {
            world.ledger.begin(0).unwrap();
            world.put();
            let (appender, db) = (&mut world.ledger.appender, &world.ledger.db);
            let spot = appender.take(db, row, &batch(row, 100)).unwrap().unwrap();
            world.ledger.commit().unwrap();
            spot
        })
        .collect();
    let segments = Arc::clone(&world.ledger.appender.segments);
    let ids: BTreeSet<i64> = all.iter().map(|spot| spot.segment).collect();
    assert_eq!(ids.len(), 40);
    let lend = |range: Range<usize>| -> Vec<Lent> {
        let spots = (1..).zip(&all).skip(range.start).take(range.len());
        spots
            .filter_map(|(row, spot)| segments.lend(row, *spot, 9))
            .collect()
    };
    let lent = lend(0..40);
    assert_eq!(lent.len(), 24);
    assert_eq!(lend(0..24).len(), 24, "again, by others");
    segments.condemn(ids.iter().copied().take(24));
    assert!(!segments.delete_condemned());
    assert_eq!(lend(24..40).len(), 0, "they are open still");
    for (row, spot) in (25..).zip(&all[24..]) {
        assert!(segments.read(row, *spot).is_ok());
    }
    drop(lent);
    assert_eq!(lend(24..40).len(), 16);
}

#[test]
fn what_is_lent_is_read_to_its_end_though_its_segment_goes() {
    let (mut world, spots) = written(&batches(&[20_000, 100]));
    let segments = Arc::clone(&world.ledger.appender.segments);
    let pieces = lent(&segments, &spots);
    let expected = joined(&pieces, &segments).unwrap();
    world.delete_to(3);
    world.commit(1);
    segments.condemn([spots[0].segment]);
    assert!(
        !world
            .names()
            .iter()
            .any(|name| *name == segments.path(spots[0].segment))
    );
    for sends in [0, usize::MAX] {
        let paper = Paper {
            sends,
            ..Paper::default()
        };
        write_answer(&pieces, &segments, &paper).unwrap();
        assert!(*paper.whole.borrow() == expected);
    }
    let gone = segments.lend(1, spots[0], 9);
    assert!(gone.is_none());
    let gone = segments.read(1, spots[0]).unwrap_err();
    assert!(
        gone.to_string()
            .contains(&io::Error::from(io::ErrorKind::NotFound).to_string())
    );
}
