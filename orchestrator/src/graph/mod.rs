//! Pictures of definitions, and of sagas on their way through them.
//!
//! One layout feeds every picture that has coordinates: the forward lane from left to right, below each row the lane of
//! compensation, which goes back.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `drawing.rs` | what a picture is made of: nodes, edges, frames, labels, with their roles |
//! | `metrics.rs` | how large things are, in characters and in pixels |
//! | `words.rs` | what stands in the box of a step |
//! | `ends.rs` | what stands in the boxes before and after all steps |
//! | `lanes.rs` | what stands below a step: its undo, and the sequences inside it |
//! | `layout.rs` | from a definition to a drawing |
//! | `rows.rs` | a sequence of steps, in as many rows as it takes |
//! | `group.rs` | one step, with the sequences inside it |
//! | `overlay.rs` | how far a saga is |
//! | `svg.rs`, `style.rs` | the drawing as SVG |
//! | `text.rs`, `canvas.rs` | the drawing as text |
//! | `mermaid.rs` | the drawing as a Mermaid flowchart |

mod canvas;
mod drawing;
mod ends;
mod group;
mod lanes;
mod layout;
mod mermaid;
mod metrics;
mod overlay;
mod rows;
mod style;
mod svg;
mod text;
mod words;

#[cfg(test)]
mod tests;

pub use drawing::{
    Drawing, Edge, EdgeRole, Frame, FrameRole, Label, Line, LineRole, Node, NodeRole, Point, Rect,
    Sample,
};
pub use layout::lay_out;
pub use mermaid::mermaid;
pub use metrics::Metrics;
pub use overlay::{Overlay, State};
pub use svg::svg;
pub use text::{Glyphs, text};
