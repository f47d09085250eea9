//! How it is told what is wrong.

use backstitch_saga::definition::{Definition, Severity, limits};
use serde_json::json;

use super::around;

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let source = "saga: s
steps:
  - do: a
    undo: yes
    timout: 5s
    retry: { attempts: none }
    when: event.x ==
  - paralel: b
";
    let found = Definition::from_yaml(source).unwrap_err();
    let lines: Vec<(usize, &str)> = found.iter().map(|d| (d.line, d.code)).collect();
    assert_eq!(
        lines,
        [(5, "BS0103"), (6, "BS0105"), (7, "BS0203"), (8, "BS0108")]
    );
    assert_eq!(found[0].help.as_deref(), Some("did you mean `timeout`?"));
    assert_eq!(found[3].help.as_deref(), Some("did you mean `parallel`?"));
}

#[test]
fn a_diagnostic_shows_the_place() {
    let source = "saga: process-order
steps:
  - do: reserve-stock
  - do: charge-payment
    pivot: true
";
    let found = Definition::from_yaml_named("order.yaml", source).unwrap_err();
    assert_eq!(
        found[0].to_string(),
        "error[BS0207]: `reserve_stock` may have run when `charge_payment` fails, and nothing says how to undo it
 ┌─ order.yaml:3:5
3│   - do: reserve-stock
 │     ^^^^^^^^^^^^^^^^^ runs before the pivot (line 4)
 = write `undo: yes` if the worker of `reserve-stock` can take it back, name another activity, or `undo: nothing` if it only reads"
    );
    let program = found[0].to_json();
    assert_eq!(program["code"], "BS0207");
    assert_eq!(program["severity"], "error");
    assert_eq!(program["file"], "order.yaml");
    assert_eq!(
        (&program["line"], &program["column"]),
        (&json!(3), &json!(5))
    );
}

#[test]
fn an_expression_is_pointed_at_within_its_text() {
    for (value, column, length) in [
        ("{ x: =1 + steps.nope.y }", 21, 10),
        ("{ x: '=1 + steps.nope.y' }", 22, 10),
        ("{ x: \"=1 + steps.nope.y\" }", 22, 10),
    ] {
        let source = around(&format!("  - do: a\n    undo: yes\n    with: {value}"));
        let found = Definition::from_yaml(&source).unwrap_err();
        assert_eq!(found[0].code, "BS0205");
        assert_eq!(
            (found[0].column, found[0].length),
            (column, length),
            "{}",
            found[0]
        );
    }
    let source = around("  - do: a\n    undo: yes\n    when: event.total ) 5");
    let found = Definition::from_yaml(&source).unwrap_err();
    assert_eq!((found[0].line, found[0].column), (5, 23), "{}", found[0]);
}

#[test]
fn warnings_do_not_stop_a_definition() {
    let source = "saga: s
steps:
  - do: a
    undo: yes
    when: event.total > 1
    with: { id: event.order_id, other: event, text: 'events. and more' }
  - do: b
    undo: yes
    with: { x: =steps.a.score, y: =steps.a.?score, z: '=has(steps.a.score) ? steps.a.score : 0' }
output: { state: steps.a.state }
";
    let (_, warnings) = Definition::check_yaml(None, source).unwrap();
    let lines: Vec<(usize, &str)> = warnings.iter().map(|d| (d.line, d.code)).collect();
    assert_eq!(lines, [(6, "BS0209"), (9, "BS0210"), (10, "BS0209")]);
    assert!(warnings.iter().all(|d| d.severity == Severity::Warning));
    assert!(Definition::from_yaml(source).is_ok());

    // Where there are errors as well, warnings come along with `check_yaml` only.
    let broken = source.replace("saga: s", "saga: S");
    assert_eq!(Definition::check_yaml(None, &broken).unwrap_err().len(), 4);
    assert_eq!(Definition::from_yaml(&broken).unwrap_err().len(), 1);
}

#[test]
fn errors_without_end_are_counted() {
    let steps: Vec<String> = (0..300).map(|n| format!("  - do: a{n}")).collect();
    let found = Definition::from_yaml(&around(&steps.join("\n"))).unwrap_err();
    assert_eq!(found.len(), limits::DIAGNOSTICS_MAX);
    assert_eq!(
        found.last().unwrap().help.as_deref(),
        Some("200 more are not shown")
    );
}
