//! Answers from files: whatever way their batches take, the bytes are the same, and damage ends them in time.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::batch::tests::sample;
use super::batch::{placed, with_records};
use super::error::RequestError;
use super::fuzz_draw::Chance;
use super::lent::{Lent, Piece, SendError, Sink, bytes_held, write_answer};
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
    sends: bool,
}

impl Sink for Paper {
    fn write(&self, slices: &mut [IoSlice<'_>], more: bool) -> Result<(), RequestError> {
        for slice in slices {
            self.whole.borrow_mut().extend_from_slice(slice);
        }
        self.is_open.set(more);
        Ok(())
    }

    fn send(&self, file: &File, from: u64, to: u64) -> Result<(), SendError> {
        if !self.sends {
            return Err(SendError::Unsupported);
        }
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        read_at(file, &mut bytes, from).map_err(SendError::Read)?;
        self.whole.borrow_mut().extend_from_slice(&bytes);
        self.sent.set(self.sent.get() + bytes.len());
        self.is_open.set(false);
        Ok(())
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
            for sends in [false, true] {
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
                let large: usize = large.filter(|bytes| *bytes >= 16 << 10).sum();
                assert_eq!(paper.sent.get(), if sends { large } else { 0 });
                let least = 4 + pieces.len() * size_of::<Piece>();
                let most = least + pieces.len() * 500 + (256 << 10);
                assert!(
                    (least..=most).contains(&bytes_held(&[&pieces])),
                    "seed {seed}"
                );
            }
            // What was read once is known if it is large, and nothing else.
            known = lent(segments, &spots);
            let mut expected = [false; 12];
            for (at, _) in &chosen {
                expected[*at] = sizes[*at] >= 16 << 10;
            }
            assert_eq!(is_checked(&known), expected, "seed {seed} round {round}");
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
                sends: true,
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
    for (sizes, sends) in [
        (vec![20_000; 2], false),
        (vec![20_000; 2], true),
        (vec![500; 40], true),
    ] {
        let (world, spots) = written(&batches(&sizes));
        let segments = &world.ledger.appender.segments;
        let pieces = lent(segments, &spots);
        let file = fs::OpenOptions::new().write(true).open(&world.names()[0]);
        let cut = spots.last().and_then(Spot::frame).unwrap().end - 1;
        file.unwrap().set_len(cut).unwrap();
        let paper = Paper {
            sends,
            ..Paper::default()
        };
        let ended = write_answer(&pieces, segments, &paper).unwrap_err();
        assert!(matches!(ended, RequestError::Unreadable { .. }), "{ended}");
        assert!(paper.whole.borrow().len() < sizes.iter().sum());
        // All of which one may be the reason are read before the next answer is begun.
        let mut left = (1..)
            .zip(&spots)
            .filter_map(|(row, spot)| segments.lend(row, *spot, 9));
        let is_well = |batch: &Lent| batch.spot.frame().unwrap().end <= cut;
        assert!(left.all(|batch| is_well(&batch)));
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
    let _ = world.commit(1);
    segments.condemn([spots[0].segment]);
    assert!(
        !world
            .names()
            .iter()
            .any(|name| *name == segments.path(spots[0].segment))
    );
    for sends in [false, true] {
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
