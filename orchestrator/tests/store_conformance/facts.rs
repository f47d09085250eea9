//! Facts that hold for every store.

use std::sync::Arc;

use backstitch_orchestrator::store::{
    CommitError, CommitPlan, DefinitionRow, Epoch, JournalKind, JournalRow, ListQuery, SagaRow,
    SagaStatus, ShardCommit, ShardId, ShardRow, StoreError,
};

use super::world::{
    World, batch, both, claimed, fenced, journal, other_epoch, row, saga, sagas_only, snapshot,
};

pub(crate) async fn preparing_again_changes_nothing_and_another_count_is_refused(
    world: Arc<World>,
) {
    let store = &world.store;
    let rows = claimed(store, 4).await;
    store.commit(&batch(&rows[2], 5, 2)).await.unwrap();
    let before = snapshot(store).await;

    store.prepare(4).await.unwrap();
    let refused = store.prepare(8).await;
    assert!(matches!(
        refused,
        Err(StoreError::ShardCount {
            expected: 8,
            found: 4
        })
    ));
    let refused = store.prepare(2).await;
    assert!(matches!(
        refused,
        Err(StoreError::ShardCount {
            expected: 2,
            found: 4
        })
    ));

    assert_eq!(snapshot(store).await, before);
}

pub(crate) async fn of_two_who_prepare_at_once_both_or_one_count_wins(world: Arc<World>) {
    let (one, other) = (world.another_handle().await, world.another_handle().await);
    let (four, eight) = tokio::join!(one.prepare(4), other.prepare(8));
    let count = world.store.shards(&[]).await.unwrap().len();
    match count {
        4 => assert!(four.is_ok() && eight.is_err()),
        8 => assert!(four.is_err() && eight.is_ok()),
        _ => panic!("{count} shards were made"),
    }
    let ids: Vec<i32> = world
        .store
        .shards(&[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.id.0)
        .collect();
    assert_eq!(ids, Vec::from_iter(0..i32::try_from(count).unwrap()));
}

pub(crate) async fn a_claim_raises_the_epoch_and_names_the_owner(world: Arc<World>) {
    let store = &world.store;
    store.prepare(4).await.unwrap();
    assert!(
        store
            .shards(&[])
            .await
            .unwrap()
            .iter()
            .all(|row| row.epoch == Epoch(0))
    );

    let rows = store.claim(&[ShardId(3), ShardId(1)], "ann").await.unwrap();
    assert_eq!(rows.iter().map(|row| row.id.0).collect::<Vec<_>>(), [3, 1]);
    assert!(
        rows.iter()
            .all(|row| row.epoch == Epoch(1) && row.owner == "ann")
    );
    let again = store.claim(&[ShardId(1), ShardId(1)], "bob").await.unwrap();
    assert_eq!(again.len(), 2);
    assert!(
        again
            .iter()
            .all(|row| row.epoch == Epoch(2) && row.owner == "bob")
    );

    let epochs: Vec<i64> = store
        .shards(&[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.epoch.0)
        .collect();
    assert_eq!(epochs, [0, 2, 0, 1]);
    assert_eq!(
        store.shards(&[ShardId(3), ShardId(9)]).await.unwrap(),
        rows[..1]
    );
    assert!(store.claim(&[], "ann").await.unwrap().is_empty());
}

pub(crate) async fn a_claim_of_a_shard_that_does_not_exist_claims_none(world: Arc<World>) {
    let store = &world.store;
    let rows = claimed(store, 2).await;
    let claim = store.claim(&[ShardId(0), ShardId(7)], "bob").await;
    assert!(matches!(claim, Err(StoreError::Corrupt { what }) if what.contains('7')));
    assert_eq!(store.shards(&[]).await.unwrap(), rows);
}

pub(crate) async fn a_claim_fences_the_owner_before(world: Arc<World>) {
    let (store, rival) = (&world.store, world.another_handle().await);
    let old = claimed(store, 1).await.remove(0);
    store.commit(&batch(&old, 3, 2)).await.unwrap();
    let new = rival
        .claim(&[ShardId(0)], "second")
        .await
        .unwrap()
        .remove(0);
    assert_eq!((new.inbox_next_offset, new.journal_seq), (3, 2));
    let before = snapshot(store).await;

    let late = batch(&other_epoch(&new, -1), 1, 1);
    assert_eq!(fenced(store.commit(&late).await), [0]);
    assert_eq!(snapshot(store).await, before);

    rival.commit(&batch(&new, 1, 1)).await.unwrap();
    assert_eq!(row(store, ShardId(0)).await.journal_seq, 3);
}

pub(crate) async fn a_release_needs_the_present_epoch(world: Arc<World>) {
    let store = &world.store;
    let rows = claimed(store, 3).await;
    store.claim(&[ShardId(1)], "second").await.unwrap();
    let held: Vec<(ShardId, Epoch)> = rows.iter().map(|row| (row.id, row.epoch)).collect();
    store.release(&held).await.unwrap();
    store.release(&[]).await.unwrap();

    let rows = store.shards(&[]).await.unwrap();
    let owners: Vec<&str> = rows.iter().map(|row| row.owner.as_str()).collect();
    assert_eq!(owners, ["", "second", ""]);
    let epochs: Vec<i64> = rows.iter().map(|row| row.epoch.0).collect();
    assert_eq!(epochs, [1, 2, 1], "a release is no new epoch");
}

pub(crate) async fn a_commit_moves_shard_journal_and_sagas_together(world: Arc<World>) {
    let store = &world.store;
    let rows = claimed(store, 2).await;
    let mut plan = both(batch(&rows[0], 5, 2), batch(&rows[1], 7, 1));
    plan.shards[0].published_seq = 1;
    store.commit(&plan).await.unwrap();

    let after = snapshot(store).await;
    assert_eq!(after.journal, plan.journal);
    let mut sagas = plan.sagas.clone();
    sagas.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(after.sagas, sagas);
    let of = |row: &ShardRow| {
        (
            row.inbox_next_offset,
            row.journal_seq,
            row.published_seq,
            row.owner.clone(),
        )
    };
    assert_eq!(of(&after.shards[0]), (5, 2, 1, "first".to_owned()));
    assert_eq!(of(&after.shards[1]), (7, 1, 0, "first".to_owned()));
}

pub(crate) async fn a_stale_epoch_commits_nothing(world: Arc<World>) {
    let store = &world.store;
    let row = claimed(store, 1).await.remove(0);
    let before = snapshot(store).await;
    for by in [-1, 1] {
        let plan = batch(&other_epoch(&row, by), 1, 3);
        assert_eq!(fenced(store.commit(&plan).await), [0]);
    }
    assert_eq!(snapshot(store).await, before);
}

pub(crate) async fn a_wrong_offset_commits_nothing(world: Arc<World>) {
    let store = &world.store;
    let first = claimed(store, 1).await.remove(0);
    store.commit(&batch(&first, 10, 1)).await.unwrap();
    let now = row(store, ShardId(0)).await;
    let before = snapshot(store).await;
    for offset in [0, 9, 11] {
        let elsewhere = ShardRow {
            inbox_next_offset: offset,
            ..now.clone()
        };
        assert_eq!(fenced(store.commit(&batch(&elsewhere, 1, 1)).await), [0]);
    }
    assert_eq!(snapshot(store).await, before);
}

/// Neither epoch nor offset tells these apart: a batch of timers moves no offset.
pub(crate) async fn a_plan_without_progress_cannot_be_committed_twice(world: Arc<World>) {
    let store = &world.store;
    let row = claimed(store, 1).await.remove(0);
    let timers = batch(&row, 0, 2);
    store.commit(&timers).await.unwrap();
    let before = snapshot(store).await;
    assert_eq!(fenced(store.commit(&timers).await), [0]);
    assert_eq!(fenced(store.commit(&batch(&row, 0, 1)).await), [0]);
    assert_eq!(snapshot(store).await, before);
}

pub(crate) async fn one_bad_shard_of_two_commits_nothing_and_is_named(world: Arc<World>) {
    let store = &world.store;
    let rows = claimed(store, 3).await;
    let before = snapshot(store).await;
    let bad = |n: usize| batch(&other_epoch(&rows[n], -1), 1, 1);
    let good = |n: usize| batch(&rows[n], 1, 1);

    assert_eq!(fenced(store.commit(&both(good(0), bad(1))).await), [1]);
    assert_eq!(fenced(store.commit(&both(bad(0), good(1))).await), [0]);
    let two = both(both(bad(2), good(1)), bad(0));
    assert_eq!(fenced(store.commit(&two).await), [0, 2]);
    let mut missing = rows[1].clone();
    missing.id = ShardId(9);
    assert_eq!(
        fenced(store.commit(&both(good(0), batch(&missing, 1, 1))).await),
        [9]
    );
    assert_eq!(snapshot(store).await, before);

    store.commit(&both(good(0), good(1))).await.unwrap();
}

type Change = fn(&mut CommitPlan);

pub(crate) async fn a_plan_that_breaks_a_rule_is_refused_whole(world: Arc<World>) {
    let store = &world.store;
    let rows = claimed(store, 2).await;
    let good = batch(&rows[0], 1, 3);
    let before = snapshot(store).await;
    let broken: [(&str, Change); 16] = [
        ("no shard", |plan| *plan = CommitPlan::default()),
        ("a shard twice", |plan| {
            plan.shards.push(plan.shards[0].clone())
        }),
        ("an offset that goes back", |plan| {
            plan.shards[0].offset_to = -1
        }),
        ("more published than written", |plan| {
            plan.shards[0].published_seq = 4
        }),
        ("a journal row of another shard", |plan| {
            plan.journal[2].shard = ShardId(1)
        }),
        ("a gap in the journal", |plan| plan.journal[2].seq = 4),
        ("a journal row twice", |plan| plan.journal[2].seq = 2),
        ("a journal out of order", |plan| plan.journal.swap(0, 1)),
        ("a journal that ends too early", |plan| {
            plan.shards[0].journal_seq = 4
        }),
        ("a saga of another shard", |plan| {
            plan.sagas[1].shard = ShardId(1)
        }),
        ("a saga twice", |plan| {
            plan.sagas[1].key = plan.sagas[0].key.clone()
        }),
        ("a reason but not parked", |plan| {
            plan.sagas[1].parked_reason = Some("?".to_owned())
        }),
        ("a key with a nul", |plan| plan.sagas[1].key.push('\0')),
        ("a journal key with a nul", |plan| {
            plan.journal[1].saga_key.push('\0')
        }),
        ("tags that are no object", |plan| {
            plan.sagas[1].tags = "[]".to_owned()
        }),
        ("tags with a nul", |plan| {
            plan.sagas[1].tags = r#"{"a":"\u0000"}"#.to_owned()
        }),
    ];
    for (what, break_it) in broken {
        let mut plan = good.clone();
        break_it(&mut plan);
        let refused = store.commit(&plan).await;
        assert!(
            matches!(refused, Err(CommitError::Refused { .. })),
            "{what}: {refused:?}"
        );
    }
    assert_eq!(snapshot(store).await, before);
    store.commit(&good).await.unwrap();
}

pub(crate) async fn every_part_of_a_plan_but_the_shards_may_be_empty(world: Arc<World>) {
    let store = &world.store;
    let start = claimed(store, 1).await.remove(0);
    store.commit(&batch(&start, 4, 0)).await.unwrap();

    let now = row(store, ShardId(0)).await;
    assert_eq!((now.inbox_next_offset, now.journal_seq), (4, 0));
    let journal_alone = CommitPlan {
        sagas: Vec::new(),
        ..batch(&now, 1, 2)
    };
    store.commit(&journal_alone).await.unwrap();
    let now = row(store, ShardId(0)).await;
    store
        .commit(&sagas_only(&now, vec![saga("alone", ShardId(0))]))
        .await
        .unwrap();

    let after = snapshot(store).await;
    assert_eq!((after.journal.len(), after.sagas.len()), (2, 1));
    let watermark = CommitPlan {
        shards: vec![ShardCommit {
            published_seq: 2,
            ..batch(&now, 0, 0).shards[0].clone()
        }],
        ..CommitPlan::default()
    };
    store.commit(&watermark).await.unwrap();
    assert_eq!(row(store, ShardId(0)).await.published_seq, 2);
}

pub(crate) async fn a_saga_is_replaced_whole(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let first = SagaRow {
        wake_at_ms: Some(5),
        status: SagaStatus::Parked,
        parked_reason: Some("no stock".to_owned()),
        tags: r#"{"customer":"ann"}"#.to_owned(),
        ..saga("order/1", ShardId(0))
    };
    store
        .commit(&sagas_only(&shard, vec![first.clone()]))
        .await
        .unwrap();
    assert_eq!(store.load(&["order/1".to_owned()]).await.unwrap(), [first]);

    let second = SagaRow {
        definition_hash: "abcd".to_owned(),
        status: SagaStatus::Completed,
        seq: 9,
        state: Vec::new(),
        started_at_ms: -5,
        ended_at_ms: Some(i64::MAX),
        ..saga("order/1", ShardId(0))
    };
    store
        .commit(&sagas_only(&shard, vec![second.clone()]))
        .await
        .unwrap();
    assert_eq!(store.load(&["order/1".to_owned()]).await.unwrap(), [second]);
    assert!(
        store
            .due(ShardId(0), None, i64::MAX, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

pub(crate) async fn of_rivals_at_one_position_exactly_one_commits(world: Arc<World>) {
    let shard = claimed(&world.store, 1).await.remove(0);
    let mut rivals = tokio::task::JoinSet::new();
    for number in 0..4 {
        let (handle, mut plan) = (world.another_handle().await, batch(&shard, 1, 5));
        plan.journal[0].entry = vec![number];
        rivals.spawn(async move { handle.commit(&plan).await.map(|()| number) });
    }
    let results = rivals.join_all().await;
    let winners: Vec<u8> = results
        .iter()
        .filter_map(|result| result.as_ref().ok().copied())
        .collect();
    assert_eq!(winners.len(), 1, "{results:?}");
    for result in results.into_iter().filter(Result::is_err) {
        assert_eq!(fenced(result.map(|_| ())), [0]);
    }
    let journal = world
        .store
        .journal_of_shard(ShardId(0), 0, 100)
        .await
        .unwrap();
    assert_eq!((journal.len(), &journal[0].entry), (5, &winners));
}

pub(crate) async fn owners_that_fight_leave_a_journal_without_a_gap(world: Arc<World>) {
    let shards = [ShardId(0), ShardId(1)];
    claimed(&world.store, 2).await;
    let mut owners = tokio::task::JoinSet::new();
    for name in ["ann", "bob", "cid"] {
        let handle = world.another_handle().await;
        owners.spawn(async move {
            let mut commits = 0;
            for _ in 0..10 {
                let held = match handle.claim(&shards, name).await {
                    Ok(held) => held,
                    // Two that lock two rows at once: the database lets one of them go first.
                    Err(StoreError::Unavailable { .. }) => continue,
                    Err(error) => panic!("{error:?}"),
                };
                let plan = both(batch(&held[0], 1, 2), batch(&held[1], 2, 1));
                match handle.commit(&plan).await {
                    Ok(()) => commits += 1,
                    Err(CommitError::Fenced { .. } | CommitError::Unavailable { .. }) => {}
                    Err(error @ (CommitError::InDoubt { .. } | CommitError::Refused { .. })) => {
                        panic!("{error:?}")
                    }
                }
            }
            commits
        });
    }
    let commits: i64 = owners.join_all().await.into_iter().sum();
    assert!(commits > 0);
    let after = snapshot(&world.store).await;
    for (shard, each) in [(0, 2), (1, 1)] {
        let seqs = after
            .journal
            .iter()
            .filter(|row| row.shard.0 == shard)
            .map(|row| row.seq);
        assert_eq!(Vec::from_iter(seqs), Vec::from_iter(1..=commits * each));
        let row = &after.shards[usize::try_from(shard).unwrap()];
        assert_eq!(row.inbox_next_offset, commits * (i64::from(shard) + 1));
    }
}

pub(crate) async fn many_keys_are_loaded_at_once_and_missing_ones_left_out(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let sagas: Vec<SagaRow> = (0..2_000)
        .map(|n| saga(&format!("k{n}"), ShardId(0)))
        .collect();
    store.commit(&sagas_only(&shard, sagas)).await.unwrap();
    let keys: Vec<String> = (1_000..4_000).map(|n| format!("k{n}")).collect();
    let mut loaded = store.load(&keys).await.unwrap();
    loaded.sort_by(|a, b| a.key.cmp(&b.key));
    assert_eq!(loaded.len(), 1_000);
    assert_eq!(
        (loaded[0].key.as_str(), loaded[999].key.as_str()),
        ("k1000", "k1999")
    );
    assert!(store.load(&[]).await.unwrap().is_empty());
    let twice = ["k1".to_owned(), "k1".to_owned()];
    assert_eq!(store.load(&twice).await.unwrap().len(), 1);
}

pub(crate) async fn due_sagas_come_by_time_and_key_page_by_page(world: Arc<World>) {
    let store = &world.store;
    let rows = claimed(store, 2).await;
    let due = |key: &str, shard: i32, wake: Option<i64>| SagaRow {
        wake_at_ms: wake,
        ..saga(key, ShardId(shard))
    };
    let of_first = vec![
        due("b", 0, Some(20)),
        due("a", 0, Some(20)),
        due("é", 0, Some(20)),
        due("Z", 0, Some(20)),
        due("late", 0, Some(31)),
        due("early", 0, Some(-7)),
        due("never", 0, None),
        due("last", 0, Some(30)),
    ];
    store.commit(&sagas_only(&rows[0], of_first)).await.unwrap();
    store
        .commit(&sagas_only(&rows[1], vec![due("other", 1, Some(1))]))
        .await
        .unwrap();

    let mut seen = Vec::new();
    let mut after: Option<(i64, String)> = None;
    loop {
        let from = after.as_ref().map(|(ms, key)| (*ms, key.as_str()));
        let page = store.due(ShardId(0), from, 30, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some((last.wake_at_ms.unwrap(), last.key.clone()));
        seen.extend(page.into_iter().map(|saga| saga.key));
    }
    assert_eq!(
        seen,
        ["early", "Z", "a", "b", "é", "last"],
        "keys sort by their bytes"
    );

    let moved = vec![due("early", 0, Some(99)), due("a", 0, None)];
    store.commit(&sagas_only(&rows[0], moved)).await.unwrap();
    let now = store.due(ShardId(0), None, 30, 10).await.unwrap();
    let now: Vec<&str> = now.iter().map(|saga| saga.key.as_str()).collect();
    assert_eq!(now, ["Z", "b", "é", "last"]);
}

pub(crate) async fn the_journal_is_read_in_order_page_by_page(world: Arc<World>) {
    let store = &world.store;
    let rows = claimed(store, 2).await;
    let mut plan = both(batch(&rows[0], 1, 5), batch(&rows[1], 1, 2));
    for (n, row) in (1..).zip(&mut plan.journal[..5]) {
        row.saga_key = "long".to_owned();
        row.saga_seq = n;
    }
    store.commit(&plan).await.unwrap();

    let seqs = |rows: Vec<JournalRow>| rows.iter().map(|row| row.seq).collect::<Vec<_>>();
    let page = |after, limit| store.journal_of_shard(ShardId(0), after, limit);
    assert_eq!(seqs(page(0, 3).await.unwrap()), [1, 2, 3]);
    assert_eq!(seqs(page(3, 3).await.unwrap()), [4, 5]);
    assert_eq!(seqs(page(5, 3).await.unwrap()), [0; 0]);
    assert_eq!(page(-1, 9).await.unwrap(), plan.journal[..5]);

    let of_saga = |after, limit| store.journal_of_saga("long", after, limit);
    assert_eq!(seqs(of_saga(0, 2).await.unwrap()), [1, 2]);
    assert_eq!(of_saga(2, 9).await.unwrap(), plan.journal[2..5]);
    assert!(
        store
            .journal_of_saga("nobody", 0, 9)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(store.journal_of_saga("\0", 0, 9).await.unwrap().is_empty());
}

pub(crate) async fn rows_of_no_saga_are_in_the_journal_of_the_shard_alone(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let of_none = |seq, kind, entry| JournalRow {
        kind,
        saga_key: String::new(),
        saga_seq: 0,
        entry,
        ..journal(ShardId(0), seq)
    };
    let plan = CommitPlan {
        journal: vec![
            of_none(1, JournalKind::DeadLetter, vec![0, 255, 0]),
            of_none(2, JournalKind::Forward, Vec::new()),
        ],
        sagas: Vec::new(),
        ..batch(&shard, 2, 2)
    };
    store.commit(&plan).await.unwrap();
    assert_eq!(
        store.journal_of_shard(ShardId(0), 0, 9).await.unwrap(),
        plan.journal
    );
    assert!(store.journal_of_saga("", -1, 9).await.unwrap().is_empty());
}

pub(crate) async fn any_text_but_nul_is_kept_as_it_is(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let keys = [
        "",
        "Größe/4711",
        "注文/一",
        "🧵\u{10FFFF}",
        "a'b\"c\\d",
        "%_*?",
        "\u{1}\n\t",
        "e\u{301}",
        "é",
    ];
    let sagas: Vec<SagaRow> = keys
        .iter()
        .map(|key| SagaRow {
            tags: serde_json::json!({ *key: key, "x": "y" }).to_string(),
            parked_reason: Some((*key).to_owned()),
            status: SagaStatus::Parked,
            wake_at_ms: Some(1),
            ..saga(key, ShardId(0))
        })
        .collect();
    store
        .commit(&sagas_only(&shard, sagas.clone()))
        .await
        .unwrap();
    for (key, saga) in keys.iter().zip(&sagas) {
        assert_eq!(
            &store.load(&[(*key).to_owned()]).await.unwrap(),
            std::slice::from_ref(saga)
        );
        let prefix = ListQuery {
            key_prefix: (*key).to_owned(),
            ..ListQuery::default()
        };
        let found = store.list(&prefix).await.unwrap();
        assert!(found.iter().any(|line| line.key == *key), "{key:?}");
        assert!(
            found.iter().all(|line| line.key.starts_with(key)),
            "{key:?}"
        );
        let tag = Some(((*key).to_owned(), (*key).to_owned()));
        let found = store
            .list(&ListQuery {
                tag,
                ..ListQuery::default()
            })
            .await
            .unwrap();
        assert_eq!(found.len(), 1, "{key:?}");
        assert_eq!((&found[0].key, &found[0].tags), (&saga.key, &saga.tags));
    }
    let mut due: Vec<String> = store
        .due(ShardId(0), None, 1, 99)
        .await
        .unwrap()
        .into_iter()
        .map(|s| s.key)
        .collect();
    assert!(due.is_sorted());
    due.dedup();
    // Nothing comes before the first page, not even the empty key: it is the one that may be missed.
    assert!(due.len() >= keys.len() - 1);
}

pub(crate) async fn ten_thousand_rows_are_one_commit(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let plan = batch(&shard, 10_000, 10_000);
    store.commit(&plan).await.unwrap();
    let now = row(store, ShardId(0)).await;
    assert_eq!((now.inbox_next_offset, now.journal_seq), (10_000, 10_000));
    assert_eq!(
        store.journal_of_shard(ShardId(0), 0, 20_000).await.unwrap(),
        plan.journal
    );
    let counts = store.counts().await.unwrap();
    assert_eq!(counts[0], (SagaStatus::Running, 10_000));
}

pub(crate) async fn a_list_pages_from_the_newest_start(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let sagas: Vec<SagaRow> = (0..1_500)
        .map(|n| SagaRow {
            started_at_ms: n / 4,
            ..saga(&format!("k{n:04}"), ShardId(0))
        })
        .collect();
    let mut expected: Vec<(i64, String)> = sagas
        .iter()
        .map(|saga| (saga.started_at_ms, saga.key.clone()))
        .collect();
    expected.sort();
    expected.reverse();
    store.commit(&sagas_only(&shard, sagas)).await.unwrap();

    let mut query = ListQuery {
        limit: 333,
        ..ListQuery::default()
    };
    let mut seen: Vec<(i64, String)> = Vec::new();
    loop {
        let page = store.list(&query).await.unwrap();
        assert!(page.len() <= 333);
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|line| (line.started_at_ms, line.key)));
        query.after = seen.last().cloned();
    }
    assert_eq!(seen, expected);
    assert_eq!(store.list(&ListQuery::default()).await.unwrap().len(), 50);
    let too_many = ListQuery {
        limit: 5_000,
        ..ListQuery::default()
    };
    assert_eq!(store.list(&too_many).await.unwrap().len(), 1_000);
}

pub(crate) async fn mailboxes_are_listed_when_asked_for_and_never_counted(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let sagas = vec![
        saga("~order.paid/1", ShardId(0)),
        saga("order/1", ShardId(0)),
        saga("~refund.paid/1", ShardId(0)),
    ];
    store.commit(&sagas_only(&shard, sagas)).await.unwrap();
    for (prefix, expected) in [
        ("", &["order/1"][..]),
        ("order", &["order/1"]),
        ("~", &["~refund.paid/1", "~order.paid/1"]),
        ("~order", &["~order.paid/1"]),
    ] {
        let query = ListQuery {
            key_prefix: prefix.to_owned(),
            ..ListQuery::default()
        };
        let lines = store.list(&query).await.unwrap();
        let keys: Vec<&str> = lines.iter().map(|line| line.key.as_str()).collect();
        assert_eq!(keys, expected, "{prefix}");
    }
    let counts = store.counts().await.unwrap();
    let all: i64 = counts.iter().map(|(_, count)| count).sum();
    assert_eq!(all, 1, "{counts:?}");
    let keys = ["~order.paid/1".to_owned()];
    assert_eq!(store.load(&keys).await.unwrap().len(), 1);
}

pub(crate) async fn a_list_is_filtered_by_status_prefix_and_tag(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let line = |key: &str, status, tags: &str| SagaRow {
        status,
        tags: tags.to_owned(),
        parked_reason: (status == SagaStatus::Parked).then(|| format!("why {key}")),
        ended_at_ms: (status == SagaStatus::Completed).then_some(7),
        ..saga(key, ShardId(0))
    };
    let sagas = vec![
        line(
            "order/1",
            SagaStatus::Running,
            r#"{"city":"Köln","vip":"yes"}"#,
        ),
        line("order/2", SagaStatus::Parked, r#"{"city":"Köln"}"#),
        line(
            "order/3",
            SagaStatus::Completed,
            r#"{ "city" : "K\u00f6ln" }"#,
        ),
        line("refund/1", SagaStatus::Parked, r#"{"city":"Bonn"}"#),
        line("refund/2", SagaStatus::Terminated, "{}"),
    ];
    store.commit(&sagas_only(&shard, sagas)).await.unwrap();
    let keys = async |query: ListQuery| {
        let lines = store.list(&query).await.unwrap();
        lines.into_iter().map(|line| line.key).collect::<Vec<_>>()
    };
    let all = ListQuery::default();
    let tag = |key: &str, value: &str| Some((key.to_owned(), value.to_owned()));
    let parked = vec![SagaStatus::Parked];
    let some = vec![SagaStatus::Completed, SagaStatus::Parked];

    let query = ListQuery {
        statuses: parked.clone(),
        ..all.clone()
    };
    assert_eq!(keys(query).await, ["refund/1", "order/2"]);
    let query = ListQuery {
        statuses: some,
        key_prefix: "order/".to_owned(),
        ..all.clone()
    };
    assert_eq!(keys(query).await, ["order/3", "order/2"]);
    let query = ListQuery {
        tag: tag("city", "Köln"),
        ..all.clone()
    };
    assert_eq!(keys(query).await, ["order/3", "order/2", "order/1"]);
    let query = ListQuery {
        tag: tag("city", "Köln"),
        statuses: parked,
        ..all.clone()
    };
    assert_eq!(keys(query).await, ["order/2"]);
    for (key, value) in [("city", "köln"), ("City", "Köln"), ("", ""), ("$", "Köln")] {
        let query = ListQuery {
            tag: tag(key, value),
            ..all.clone()
        };
        assert!(keys(query).await.is_empty(), "{key}={value}");
    }

    let one = ListQuery {
        key_prefix: "order/2".to_owned(),
        ..all
    };
    let one = store.list(&one).await.unwrap().remove(0);
    assert_eq!(one.parked_reason.as_deref(), Some("why order/2"));
    assert_eq!(
        (one.shard, one.seq, one.started_at_ms),
        (ShardId(0), 1, 1_000)
    );
}

pub(crate) async fn counts_name_every_status(world: Arc<World>) {
    let store = &world.store;
    let shard = claimed(store, 1).await.remove(0);
    let zeros: Vec<(SagaStatus, i64)> = SagaStatus::ALL.into_iter().map(|s| (s, 0)).collect();
    assert_eq!(store.counts().await.unwrap(), zeros);
    let statuses = [
        SagaStatus::Running,
        SagaStatus::Terminated,
        SagaStatus::Terminated,
    ];
    let sagas = (0..).zip(statuses);
    let sagas: Vec<SagaRow> = sagas
        .map(|(n, status)| SagaRow {
            status,
            ..saga(&format!("{n}"), ShardId(0))
        })
        .collect();
    store.commit(&sagas_only(&shard, sagas)).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!(
        counts.iter().map(|count| count.1).collect::<Vec<_>>(),
        [1, 0, 0, 0, 0, 2]
    );
}

pub(crate) async fn a_definition_is_remembered_as_it_was_first_seen(world: Arc<World>) {
    let (store, other) = (&world.store, world.another_handle().await);
    let definition = |hash: &str, at: i64| DefinitionRow {
        hash: hash.to_owned(),
        name: "process-order".to_owned(),
        source: format!("saga: {hash} @ {at} 🧵"),
        first_seen_at_ms: at,
    };
    for row in [
        definition("bb", 20),
        definition("cc", 10),
        definition("aa", 20),
    ] {
        store.put_definition(&row).await.unwrap();
    }
    other.put_definition(&definition("bb", 5)).await.unwrap();
    let expected = [
        definition("cc", 10),
        definition("aa", 20),
        definition("bb", 20),
    ];
    assert_eq!(store.definitions().await.unwrap(), expected);
}
