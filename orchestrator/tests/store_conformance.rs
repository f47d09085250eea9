//! What every store has to do, asked of each: memory, SQLite, and Postgres.
//!
//! Postgres takes part when `BACKSTITCH_TEST_POSTGRES` holds the address of a server where schemas may
//! be made. Each test has a schema of its own, so they run side by side and again and again.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the whole file is a test, the functions between its tests too"
)]

#[path = "store_conformance/differential.rs"]
mod differential;
#[path = "store_conformance/doubt.rs"]
mod doubt;
#[path = "store_conformance/durable.rs"]
mod durable;
#[path = "store_conformance/facts.rs"]
mod facts;
#[path = "store_conformance/world.rs"]
mod world;

use world::{Kind, World};

macro_rules! each_store {
    ($($module:ident: $fact:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $fact() {
                super::check(super::Kind::Memory, super::$module::$fact).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test]
            async fn $fact() {
                super::check(super::Kind::Sqlite, super::$module::$fact).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $fact() {
                super::check(super::Kind::Postgres, super::$module::$fact).await;
            })*
        }
    };
}

each_store! {
    facts: preparing_again_changes_nothing_and_another_count_is_refused,
    facts: of_two_who_prepare_at_once_both_or_one_count_wins,
    facts: a_claim_raises_the_epoch_and_names_the_owner,
    facts: a_claim_of_a_shard_that_does_not_exist_claims_none,
    facts: a_claim_fences_the_owner_before,
    facts: a_release_needs_the_present_epoch,
    facts: a_commit_moves_shard_journal_and_sagas_together,
    facts: a_stale_epoch_commits_nothing,
    facts: a_wrong_offset_commits_nothing,
    facts: a_plan_without_progress_cannot_be_committed_twice,
    facts: one_bad_shard_of_two_commits_nothing_and_is_named,
    facts: a_plan_that_breaks_a_rule_is_refused_whole,
    facts: every_part_of_a_plan_but_the_shards_may_be_empty,
    facts: a_saga_is_replaced_whole,
    facts: of_rivals_at_one_position_exactly_one_commits,
    facts: owners_that_fight_leave_a_journal_without_a_gap,
    facts: many_keys_are_loaded_at_once_and_missing_ones_left_out,
    facts: due_sagas_come_by_time_and_key_page_by_page,
    facts: the_journal_is_read_in_order_page_by_page,
    facts: rows_of_no_saga_are_in_the_journal_of_the_shard_alone,
    facts: any_text_but_nul_is_kept_as_it_is,
    facts: ten_thousand_rows_are_one_commit,
    facts: a_list_pages_from_the_newest_start,
    facts: mailboxes_are_listed_when_asked_for_and_never_counted,
    facts: a_list_is_filtered_by_status_prefix_and_tag,
    facts: counts_name_every_status,
    facts: a_definition_is_remembered_as_it_was_first_seen,
}

/// Runs a fact in a world of its own; without a Postgres server, its world is said to be left out.
async fn check<F>(kind: Kind, fact: impl FnOnce(std::sync::Arc<World>) -> F)
where
    F: Future<Output = ()>,
{
    let Some(world) = World::of(kind).await else {
        eprintln!("left out: BACKSTITCH_TEST_POSTGRES names no server");
        return;
    };
    let world = std::sync::Arc::new(world);
    fact(std::sync::Arc::clone(&world)).await;
    world.remove().await;
}
