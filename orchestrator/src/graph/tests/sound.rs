//! What holds for every layout.

use std::collections::BTreeMap;

use backstitch_saga::Definition;
use backstitch_saga::definition::walk;

use super::super::Glyphs;
use super::super::{Drawing, LineRole, Metrics, Point, Rect, lay_out, svg, text};
use super::random::random_definition;
use super::{read, shown, xml};

/// Random definitions that are laid out.
const SEEDS: u64 = 400;

#[test]
fn no_random_definition_is_drawn_unsoundly() {
    for seed in 0..SEEDS {
        let definition = random_definition(seed);
        assert_sound(&definition, &format!("seed {seed}"));
    }
}

#[test]
fn no_definition_of_the_documentation_is_drawn_unsoundly() {
    let paths = shown();
    assert!(paths.len() >= 6, "{paths:?}");
    for path in paths {
        assert_sound(&read(&path), &path.display().to_string());
    }
}

#[test]
fn both_measures_give_the_same_nodes_ways_and_frames() {
    for seed in 0..SEEDS {
        let definition = random_definition(seed);
        let pixels = lay_out(&definition, &Metrics::pixels(), None);
        let characters = lay_out(&definition, &Metrics::characters(100), None);
        let nodes = |drawing: &Drawing| -> Vec<_> {
            let nodes = drawing.nodes.iter();
            nodes
                .map(|node| (node.role, node.step.clone(), node.frame))
                .collect()
        };
        let ways = |drawing: &Drawing| -> Vec<_> {
            let edges = drawing.edges.iter();
            edges.map(|edge| (edge.from, edge.to, edge.role)).collect()
        };
        assert_eq!(nodes(&pixels), nodes(&characters), "seed {seed}");
        assert_eq!(ways(&pixels), ways(&characters), "seed {seed}");
        assert_eq!(pixels.frames.len(), characters.frames.len(), "seed {seed}");
    }
}

pub(super) fn assert_sound(definition: &Definition, name: &str) {
    for metrics in [
        Metrics::pixels(),
        Metrics::characters(100),
        Metrics::characters(60),
    ] {
        let drawing = lay_out(definition, &metrics, None);
        let name = format!("{name}, {} wide", metrics.width_max);
        every_step_is_one_box(definition, &drawing, &name);
        nothing_overlaps(&drawing, &metrics, &name);
        frames_hold_what_is_theirs(&drawing, &name);
        ways_lead_from_box_to_box(&drawing, &name);
        all_is_on_the_sheet(&drawing, &name);
    }
    let picture = svg(&lay_out(definition, &Metrics::pixels(), None));
    xml::assert_well_formed(&picture, name);
    let drawing = lay_out(definition, &Metrics::characters(100), None);
    let plain = text(&drawing, Glyphs::Ascii);
    assert!(plain.is_ascii(), "{name}\n{plain}");
    let rich = text(&drawing, Glyphs::Unicode);
    assert_eq!(plain.lines().count(), rich.lines().count(), "{name}");
}

fn every_step_is_one_box(definition: &Definition, drawing: &Drawing, name: &str) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    walk(&definition.steps, &mut |step| {
        counts.insert(&step.id, 0);
    });
    for node in drawing.nodes.iter().filter(|node| node.role.is_step()) {
        let id = node.step.as_deref().unwrap();
        *counts
            .get_mut(id)
            .unwrap_or_else(|| panic!("{name}: no step {id}")) += 1;
    }
    for (id, count) in counts {
        assert_eq!(count, 1, "{name}: boxes of {id}");
    }
}

fn nothing_overlaps(drawing: &Drawing, metrics: &Metrics, name: &str) {
    for (n, node) in drawing.nodes.iter().enumerate() {
        for other in &drawing.nodes[..n] {
            assert!(
                !node.rect.meets(other.rect),
                "{name}: {node:?} and {other:?}"
            );
        }
        for label in &drawing.labels {
            let rect = Rect {
                x: label.at.x,
                y: label.at.y,
                w: (metrics.text_width)(&label.text, LineRole::Title),
                h: metrics.caption,
            };
            assert!(!node.rect.meets(rect), "{name}: {node:?} and {label:?}");
        }
    }
}

fn frames_hold_what_is_theirs(drawing: &Drawing, name: &str) {
    for (n, frame) in drawing.frames.iter().enumerate() {
        if let Some(parent) = frame.parent {
            let around = &drawing.frames[parent];
            assert!(
                around.rect.holds(frame.rect),
                "{name}: {frame:?} in {around:?}"
            );
        }
        for other in &drawing.frames[..n] {
            let is_apart = !frame.rect.meets(other.rect) || other.rect.holds(frame.rect);
            assert!(is_apart, "{name}: {frame:?} and {other:?}");
        }
        for node in &drawing.nodes {
            let mut around = node.frame;
            while let Some(at) = around.filter(|at| *at != n) {
                around = drawing.frames[at].parent;
            }
            match around {
                Some(_) => assert!(frame.rect.holds(node.rect), "{name}: {node:?} in {frame:?}"),
                None => assert!(
                    !frame.rect.meets(node.rect),
                    "{name}: {node:?} and {frame:?}"
                ),
            }
        }
    }
}

fn ways_lead_from_box_to_box(drawing: &Drawing, name: &str) {
    for edge in &drawing.edges {
        assert!(edge.points.len() >= 2, "{name}: {edge:?}");
        let (from, to) = (&drawing.nodes[edge.from], &drawing.nodes[edge.to]);
        assert_ne!(edge.from, edge.to, "{name}: {edge:?}");
        assert!(
            is_on_border(from.rect, edge.points[0]),
            "{name}: {edge:?} from {from:?}"
        );
        let last = edge.points.last().copied().unwrap();
        assert!(is_on_border(to.rect, last), "{name}: {edge:?} to {to:?}");
        for pair in edge.points.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            assert!(
                (a.x == b.x) != (a.y == b.y),
                "{name}: {edge:?} is not straight"
            );
            for node in &drawing.nodes {
                assert!(
                    !crosses(node.rect, a, b),
                    "{name}: {edge:?} runs through {node:?}"
                );
            }
        }
    }
}

fn is_on_border(rect: Rect, at: Point) -> bool {
    let is_beside =
        (at.x == rect.x || at.x == rect.right()) && (rect.y..=rect.bottom()).contains(&at.y);
    let is_above =
        (at.y == rect.y || at.y == rect.bottom()) && (rect.x..=rect.right()).contains(&at.x);
    is_beside || is_above
}

/// Whether a straight line runs through the inside of an area.
fn crosses(rect: Rect, a: Point, b: Point) -> bool {
    let (left, right) = (a.x.min(b.x), a.x.max(b.x));
    let (top, bottom) = (a.y.min(b.y), a.y.max(b.y));
    left < rect.right() && right > rect.x && top < rect.bottom() && bottom > rect.y
}

fn all_is_on_the_sheet(drawing: &Drawing, name: &str) {
    let sheet = Rect {
        x: 0,
        y: 0,
        w: drawing.width,
        h: drawing.height,
    };
    for node in &drawing.nodes {
        assert!(sheet.holds(node.rect), "{name}: {node:?}");
    }
    for point in drawing.edges.iter().flat_map(|edge| &edge.points) {
        let is_inside =
            (0..=drawing.width).contains(&point.x) && (0..=drawing.height).contains(&point.y);
        assert!(is_inside, "{name}: {point:?}");
    }
}
