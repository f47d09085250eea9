//! The judges are judged: worlds with one mistake, and journals that were altered. Each has to be
//! caught.

use backstitch_saga::core::{Body, Cause, Change, Direction, Failure, FailureKind, Status};
use backstitch_saga::invariant::{Invariant, history_is_exact};

use super::random::history_of;
use super::world::{Mutant, World};

/// How many histories a mistake has to show itself.
const HISTORIES: u64 = 600;

fn world(seed: u64, mutant: Option<Mutant>) -> Result<World, String> {
    let lived = std::panic::catch_unwind(|| history_of(seed, mutant));
    let said = |panic: Box<dyn std::any::Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        text.unwrap_or_else(|| "it stopped".to_owned())
    };
    let world = lived.map_err(said)?;
    world.judge()?;
    Ok(world)
}

/// The mistake is caught, in these words.
fn dies(mutant: Mutant, words: &str) {
    for seed in 1..HISTORIES {
        if let Err(wrong) = world(seed, Some(mutant)) {
            println!("{mutant:?}: after {seed} histories: {wrong}");
            assert!(wrong.contains(words), "{wrong}");
            return;
        }
    }
    panic!("{mutant:?} lives");
}

#[test]
fn an_undo_that_is_only_said_to_be_done_is_caught() {
    dies(Mutant::SkipsUndos, "ended undone, and its effect is there");
}

#[test]
fn a_key_for_each_attempt_is_caught() {
    dies(
        Mutant::RenewsKeys,
        "ended done, and its effect is not there",
    );
}

#[test]
fn a_child_that_is_not_asked_back_is_caught() {
    dies(Mutant::LeavesChildren, "ended undone, and its child is");
}

#[test]
fn a_wait_that_is_not_given_up_is_caught() {
    dies(Mutant::WaitsOn, "holds that");
}

#[test]
fn work_that_is_done_and_refused_is_caught() {
    dies(
        Mutant::RefusesWhatItDoes,
        "ended refused, and its effect is there",
    );
}

#[test]
fn a_message_that_is_lost_between_sagas_is_caught() {
    dies(Mutant::LosesNotes, "");
}

// ---- journals ------------------------------------------------------------------------------

/// An alteration: `None` where a journal has nothing of the sort.
type Altered = fn(&[Body]) -> Option<Vec<Body>>;

/// In whichever history this is altered, the rule says so.
fn is_caught(altered: Altered, rule: Invariant) {
    let mut count = 0;
    for seed in 1..HISTORIES {
        let world = world(seed, None).unwrap();
        for running in world.sagas_only() {
            let bodies = world.bodies(&running.saga.key);
            let Some(altered) = altered(&bodies) else {
                continue;
            };
            let wrong = history_is_exact(&running.saga, &altered);
            let wrong = wrong.expect_err(&format!("{seed}: nothing is found"));
            assert_eq!(wrong.rule, rule, "{seed}: {wrong}");
            count += 1;
        }
    }
    println!("{count} journals");
    assert!(count > 20, "{count} journals");
}

fn ends_so(bodies: &[Body], status: Status) -> bool {
    let changes = bodies.iter().flat_map(|body| &body.changes);
    let mut ends = changes.filter(|change| matches!(change, Change::Ended { .. }));
    // A child can end twice: completed, and then taken back.
    let end = ends.next().filter(|_| ends.next().is_none());
    end.is_some_and(|end| matches!(end, Change::Ended { status: is, .. } if *is == status))
}

fn first(bodies: &[Body], is_it: impl Fn(&Change) -> bool) -> Option<(usize, usize)> {
    let at = |body: &Body| body.changes.iter().position(&is_it);
    bodies
        .iter()
        .enumerate()
        .find_map(|(n, body)| Some((n, at(body)?)))
}

fn is_undo(change: &Change) -> bool {
    matches!(change, Change::Requested(request) if request.direction == Direction::Undo)
}

fn occurrence_of(change: &Change) -> Option<&str> {
    match change {
        Change::Requested(request) => Some(&request.occurrence),
        Change::Undone { occurrence, .. } => Some(occurrence),
        _ => None,
    }
}

#[test]
fn an_undo_that_nobody_was_asked_for_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            let (n, m) = first(bodies, is_undo)?;
            let occurrence = occurrence_of(&bodies[n].changes[m])?.to_owned();
            first(
                bodies,
                |change| matches!(change, Change::Undone { occurrence: at, .. } if *at == occurrence),
            )?;
            let mut altered = bodies.to_vec();
            for body in &mut altered {
                body.changes.retain(|change| {
                    !is_undo(change) || occurrence_of(change) != Some(&occurrence)
                });
            }
            Some(altered)
        },
        Invariant::UndoneInReverse,
    );
}

#[test]
fn an_undo_that_is_missing_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            if !ends_so(bodies, Status::Compensated) {
                return None;
            }
            let (n, m) = first(bodies, |change| matches!(change, Change::Undone { .. }))?;
            let occurrence = occurrence_of(&bodies[n].changes[m])?.to_owned();
            let mut altered = bodies.to_vec();
            for body in &mut altered {
                body.changes.retain(|change| {
                    !matches!(change, Change::Undone { occurrence: at, .. } if *at == occurrence)
                });
            }
            Some(altered)
        },
        Invariant::UndoneInReverse,
    );
}

#[test]
fn an_undo_out_of_its_order_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            // The first two of one sequence that are undone change places.
            let changes = || bodies.iter().flat_map(|body| &body.changes);
            let mut undos = changes().filter_map(|change| match change {
                Change::Requested(request) if request.direction == Direction::Undo => Some(request),
                _ => None,
            });
            let newer = undos.next()?;
            let older = undos.find(|older| {
                let (own, other) = (newer.place.split_last(), older.place.split_last());
                own.zip(other)
                    .is_some_and(|(own, other)| own.1 == other.1 && own.0 > other.0)
            })?;
            let (newer, older) = (newer.occurrence.clone(), older.occurrence.clone());
            let mut altered = bodies.to_vec();
            for change in altered.iter_mut().flat_map(|body| &mut body.changes) {
                if let Change::Requested(request) = change
                    && request.direction == Direction::Undo
                {
                    if request.occurrence == newer {
                        request.occurrence.clone_from(&older);
                    } else if request.occurrence == older {
                        request.occurrence.clone_from(&newer);
                    }
                }
            }
            Some(altered)
        },
        Invariant::UndoneInReverse,
    );
}

#[test]
fn work_on_the_way_back_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            let turned = |change: &Change| matches!(change, Change::TurnedBack(_));
            let (n, m) = first(bodies, turned)?;
            let changes = bodies.iter().flat_map(|body| &body.changes);
            let work = changes.clone().find(|change| {
                matches!(change, Change::Requested(request) if request.direction == Direction::Do)
            })?;
            let Change::Requested(work) = work else {
                return None;
            };
            let mut again = work.clone();
            again.occurrence = format!("{}#9", again.occurrence);
            let mut altered = bodies.to_vec();
            altered[n].changes.insert(m + 1, Change::Requested(again));
            Some(altered)
        },
        Invariant::UndoneInReverse,
    );
}

#[test]
fn silence_that_counts_as_a_refusal_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            let (n, m) = first(
                bodies,
                |change| matches!(change, Change::Doubted { failure, .. } if failure.kind == FailureKind::Unanswered),
            )?;
            let Change::Doubted { occurrence, .. } = &bodies[n].changes[m] else {
                return None;
            };
            let failure = Failure {
                kind: FailureKind::Refused,
                code: "silence".to_owned(),
                reason: String::new(),
            };
            let refused = Change::Refused {
                occurrence: occurrence.clone(),
                failure,
            };
            assert_eq!(bodies[n].cause, Cause::Wake);
            let mut altered = bodies.to_vec();
            altered[n].changes[m] = refused;
            Some(altered)
        },
        Invariant::UndoneInReverse,
    );
}

#[test]
fn a_key_that_changes_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            let (n, m) = first(bodies, |change| {
                matches!(change, Change::Requested(request)
                    if request.attempt > 1 && request.direction == Direction::Do)
            })?;
            let mut altered = bodies.to_vec();
            if let Change::Requested(request) = &mut altered[n].changes[m] {
                request.key.push_str("/2");
            }
            Some(altered)
        },
        Invariant::OneKeyPerWork,
    );
}

#[test]
fn an_attempt_that_comes_twice_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            let (n, m) = first(
                bodies,
                |change| matches!(change, Change::Requested(request) if request.attempt > 1),
            )?;
            let mut altered = bodies.to_vec();
            if let Change::Requested(request) = &mut altered[n].changes[m] {
                request.attempt = 1;
            }
            Some(altered)
        },
        Invariant::OneKeyPerWork,
    );
}

#[test]
fn a_branch_that_is_left_open_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            if !ends_so(bodies, Status::Completed) {
                return None;
            }
            let is_settled_otherwise = |occurrence: &str| {
                let mut changes = bodies.iter().flat_map(|body| &body.changes);
                changes.any(|change| match change {
                    Change::Undone { occurrence: at, .. } | Change::Waived { occurrence: at } => {
                        at == occurrence
                    }
                    _ => false,
                })
            };
            let (n, m) = first(
                bodies,
                |change| matches!(change, Change::Done { occurrence, .. } if !is_settled_otherwise(occurrence)),
            )?;
            let mut altered = bodies.to_vec();
            altered[n].changes.remove(m);
            Some(altered)
        },
        Invariant::EndedIsEnded,
    );
}

#[test]
fn what_goes_on_after_its_end_is_caught_in_a_journal() {
    is_caught(
        |bodies| {
            let (n, m) = first(bodies, |change| matches!(change, Change::Ended { .. }))?;
            let mut altered = bodies.to_vec();
            altered[n].changes.insert(m + 1, Change::Unparked);
            Some(altered)
        },
        Invariant::EndedIsEnded,
    );
}
