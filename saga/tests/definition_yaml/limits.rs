//! What a definition may hold at most.

use backstitch_saga::definition::{Definition, limits};

use super::{around, read};

#[test]
fn limits_are_refused_with_their_number() {
    let steps = |count: usize| {
        let steps: Vec<String> = (0..count)
            .map(|n| format!("  - {{ do: a, id: a{n}, undo: yes }}"))
            .collect();
        around(&steps.join("\n"))
    };
    assert_eq!(
        read(&steps(limits::STEPS_MAX)).steps.len(),
        limits::STEPS_MAX
    );
    let refused = |source: &str, part: &str| {
        let found = Definition::from_yaml(source).unwrap_err();
        assert_eq!(found[0].code, "BS0102");
        assert!(found[0].message.contains(part), "{}", found[0]);
    };
    refused(&steps(limits::STEPS_MAX + 1), "at most 1000 are allowed");
    let large = format!(
        "{}#{}",
        around("  - do: a\n    undo: yes"),
        "x".repeat(limits::DEFINITION_BYTES_MAX)
    );
    refused(&large, "at most 1048576 are allowed");
    let deep = format!("saga: s\ninput: {}{}", "[".repeat(100), "]".repeat(100));
    refused(&deep, "96 levels");
    let tags: Vec<String> = (0..33).map(|n| format!("t{n}: 1")).collect();
    refused(
        &format!(
            "saga: s\ntags: {{ {} }}\nsteps: [{{ do: a, undo: yes }}]",
            tags.join(", ")
        ),
        "at most 32 are allowed",
    );
    // Billions of laughs.
    let mut bomb = "saga: s\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..9 {
        let uses = vec![format!("*a{}", n - 1); 10].join(", ");
        bomb.push_str(&format!("a{n}: &a{n} [{uses}]\n"));
    }
    let found = Definition::from_yaml(&bomb).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn steps_stand_at_most_sixteen_deep_in_each_other() {
    let nested = |levels: usize| {
        let mut text = "saga: s\nsteps:\n".to_owned();
        for level in 0..levels - 1 {
            let margin = " ".repeat(6 * level);
            text.push_str(&format!(
                "{margin}  - choose:\n{margin}    - when: event.x\n{margin}      steps:\n"
            ));
        }
        let margin = " ".repeat(6 * (levels - 1));
        text.push_str(&format!(
            "{margin}  - do: a\n{margin}    undo: {{ do: b, with: {{ x: [{{ y: 1 }}] }} }}\n"
        ));
        text
    };
    // The deepest that is allowed stays below the limit on levels of YAML.
    read(&nested(limits::STEPS_NESTED_MAX));
    let found = Definition::from_yaml(&nested(limits::STEPS_NESTED_MAX + 1)).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].code, found[0].line), ("BS0102", 51));
    assert!(found[0].message.contains("at most 16 deep"), "{}", found[0]);
}

#[test]
fn steps_inside_steps_are_counted_too() {
    let branch = |name: &str, count: usize| {
        let steps: Vec<String> = (0..count)
            .map(|n| format!("{{ do: a, id: {name}{n}, undo: yes }}"))
            .collect();
        format!("      {name}: [{}]\n", steps.join(", "))
    };
    let of = |count: usize| {
        let left = count / 2;
        let (left, right) = (branch("a", left), branch("b", count - left - 1));
        around(&format!("  - parallel:\n{left}{right}"))
    };
    read(&of(limits::STEPS_MAX));
    let found = Definition::from_yaml(&of(limits::STEPS_MAX + 1)).unwrap_err();
    assert_eq!((found[0].code, found[0].line), ("BS0102", 3));
    assert!(found[0].message.contains("1001 steps"), "{}", found[0]);
}
