//! The crash tier. `scripts/test --only crash` gives it its servers; by itself it says what it needs.

#[test]
fn ten_thousand_orders_settle_exactly_once_though_everything_is_killed() {
    if let Err(error) = backstitch_tests::crash::run() {
        panic!("{error}");
    }
}
