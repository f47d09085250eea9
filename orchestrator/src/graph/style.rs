//! The look of an SVG: light, and dark where the reader's screen is.

/// Everything but colours.
pub(super) const SHAPES: &str = "\
text{font-family:ui-monospace,'SF Mono',Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:11px}\
.words{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif}\
.name{font-size:18px;font-weight:600}\
.title{font-size:13px;font-weight:600}\
.caption{font-size:12px;font-weight:600}\
.badge{font-size:9px;font-weight:700;letter-spacing:.8px}\
.box{stroke-width:1.25}\
.pivot .box{stroke-width:2.5}\
.undo .box,.quiet .box{stroke-dasharray:4 3}\
.frame{stroke-width:1.25}\
.frame.side{stroke-dasharray:2 4}\
.way{fill:none;stroke-width:1.6;stroke-linejoin:round}\
.way.back,.way.drop{stroke-dasharray:5 4}\
.way.side{stroke-dasharray:1.5 3.5;stroke-linecap:round;stroke-width:2}\
.barrier{stroke-width:2;stroke-dasharray:7 5}\
.live .box{stroke-width:2.5}\
";

/// A colour for each kind of thing.
struct Palette {
    paper: &'static str,
    ink: &'static str,
    soft: &'static str,
    faint: &'static str,
    card: &'static str,
    card_line: &'static str,
    frame: &'static str,
    frame_line: &'static str,
    way: &'static str,
    back: &'static str,
    back_card: &'static str,
    side: &'static str,
    side_frame: &'static str,
    pivot: &'static str,
    pivot_card: &'static str,
    on_pivot: &'static str,
    good: &'static str,
    good_card: &'static str,
    bad: &'static str,
    bad_card: &'static str,
    busy: &'static str,
    busy_card: &'static str,
}

const LIGHT: Palette = Palette {
    paper: "#ffffff",
    ink: "#111827",
    soft: "#4b5563",
    faint: "#9aa5b4",
    card: "#ffffff",
    card_line: "#8b98a9",
    frame: "#f5f7fa",
    frame_line: "#cdd5df",
    way: "#334155",
    back: "#b8480f",
    back_card: "#fff8f3",
    side: "#8a6100",
    side_frame: "#fffbeb",
    pivot: "#5b34c9",
    pivot_card: "#f6f3ff",
    on_pivot: "#ffffff",
    good: "#15763f",
    good_card: "#eefbf3",
    bad: "#b3261e",
    bad_card: "#fef2f1",
    busy: "#1d5fd1",
    busy_card: "#eff5ff",
};

const DARK: Palette = Palette {
    paper: "#0f141b",
    ink: "#eef2f7",
    soft: "#b3bfce",
    faint: "#718096",
    card: "#1a222d",
    card_line: "#5d6b7d",
    frame: "#141b24",
    frame_line: "#334050",
    way: "#c3cedb",
    back: "#f59e6b",
    back_card: "#261b15",
    side: "#e3b341",
    side_frame: "#1d1a11",
    pivot: "#a78bfa",
    pivot_card: "#221c38",
    on_pivot: "#140f26",
    good: "#4ade80",
    good_card: "#12251a",
    bad: "#f87f77",
    bad_card: "#2b1716",
    busy: "#7ab0ff",
    busy_card: "#142238",
};

/// The whole of the style.
pub(super) fn sheet() -> String {
    format!(
        "{SHAPES}{}@media (prefers-color-scheme:dark){{{}}}",
        colours(&LIGHT),
        colours(&DARK)
    )
}

fn colours(p: &Palette) -> String {
    let mut css = String::new();
    let mut rule = |selector: &str, style: String| {
        css.push_str(&format!("{selector}{{{style}}}"));
    };
    let line = |fill: &str, stroke: &str| format!("fill:{fill};stroke:{stroke}");
    rule(".paper", format!("fill:{}", p.paper));
    rule("text", format!("fill:{}", p.ink));
    rule(".soft", format!("fill:{}", p.soft));
    rule(".reaction", format!("fill:{}", p.side));
    rule(".box", line(p.card, p.card_line));
    rule(".group .box", line(p.card, p.soft));
    rule(".undo .box", line(p.back_card, p.back));
    rule(".quiet .box", line(p.paper, p.faint));
    rule(".pivot .box", line(p.pivot_card, p.pivot));
    rule(".badge-box", format!("fill:{}", p.pivot));
    rule(".badge", format!("fill:{}", p.on_pivot));
    rule(".start .box", line(p.card, p.way));
    rule(".completed .box,.end .box", line(p.good_card, p.good));
    rule(".compensated .box", line(p.back_card, p.back));
    rule(".parked .box,.fail .box", line(p.bad_card, p.bad));
    rule(".frame", line(p.frame, p.frame_line));
    rule(".frame.side", line(p.side_frame, p.side));
    rule(".way", format!("stroke:{}", p.way));
    rule(".way.back,.way.drop", format!("stroke:{}", p.back));
    rule(".way.side", format!("stroke:{}", p.side));
    rule(".head,.dot", format!("fill:{}", p.way));
    rule(".head.back,.dot.back", format!("fill:{}", p.back));
    rule(".head.side,.caption.side", format!("fill:{}", p.side));
    rule(".barrier", format!("stroke:{}", p.pivot));
    rule(".done .box", line(p.good_card, p.good));
    rule(".busy .box", line(p.busy_card, p.busy));
    rule(".undone .box", line(p.back_card, p.back));
    rule(".stuck .box", line(p.bad_card, p.bad));
    rule(".off .box", line(p.frame, p.faint));
    rule(".done .state", format!("fill:{}", p.good));
    rule(".busy .state", format!("fill:{}", p.busy));
    rule(".undone .state", format!("fill:{}", p.back));
    rule(".stuck .state", format!("fill:{}", p.bad));
    css
}
