//! What a picture is made of. Whole numbers: characters or pixels, as the [`Metrics`](super::Metrics) have it.

use super::overlay::State;

/// A place. `y` grows downwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// From the left.
    pub x: i32,
    /// From the top.
    pub y: i32,
}

/// An area: from `x` to before `x + w`, from `y` to before `y + h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rect {
    /// Left.
    pub x: i32,
    /// Top.
    pub y: i32,
    /// Width.
    pub w: i32,
    /// Height.
    pub h: i32,
}

impl Rect {
    /// What is just right of it.
    pub fn right(self) -> i32 {
        self.x + self.w
    }

    /// What is just below it.
    pub fn bottom(self) -> i32 {
        self.y + self.h
    }

    /// Whether some place is in both.
    pub fn meets(self, other: Self) -> bool {
        self.x < other.right()
            && other.x < self.right()
            && self.y < other.bottom()
            && other.y < self.bottom()
    }

    /// Whether all of the other is in it.
    pub fn holds(self, other: Self) -> bool {
        self.x <= other.x
            && self.y <= other.y
            && other.right() <= self.right()
            && other.bottom() <= self.bottom()
    }
}

/// A definition, drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawing {
    /// The definition's name.
    pub name: String,
    /// All of it lies between 0 and this.
    pub width: i32,
    /// All of it lies between 0 and this.
    pub height: i32,
    /// Boxes and dots. They never overlap.
    pub nodes: Vec<Node>,
    /// Ways between them.
    pub edges: Vec<Edge>,
    /// What holds nodes together; outer ones before those inside them.
    pub frames: Vec<Frame>,
    /// Words that stand free.
    pub labels: Vec<Label>,
}

/// A box or a dot.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What it stands for.
    pub role: NodeRole,
    /// The step it belongs to; none for the ends of the saga.
    pub step: Option<String>,
    /// Where it lies.
    pub rect: Rect,
    /// What stands in it, from the top; none in a dot.
    pub lines: Vec<Line>,
    /// All there is to say, where the lines are short.
    pub detail: String,
    /// The innermost frame around it.
    pub frame: Option<usize>,
    /// How far a saga is with it.
    pub state: Option<State>,
}

/// What a node stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeRole {
    /// What starts the saga.
    Start,
    /// A step.
    Step,
    /// The step after which the saga only goes forward.
    Pivot,
    /// A step that has other steps in it.
    Group,
    /// The step `fail`.
    Fail,
    /// The step `end`.
    End,
    /// How a step is undone.
    Undo,
    /// A step says that there is nothing to undo.
    Nothing,
    /// A step past the pivot has no undo: there is no way back.
    OneWay,
    /// Where ways forward meet.
    Join,
    /// Where ways back part or meet.
    BackJoin,
    /// The saga did all it should.
    Completed,
    /// The saga undid what it had done.
    Compensated,
    /// The saga waits for a person.
    Parked,
}

impl NodeRole {
    /// Whether it is the one box of a step.
    pub fn is_step(self) -> bool {
        matches!(
            self,
            Self::Step | Self::Pivot | Self::Group | Self::Fail | Self::End
        )
    }

    /// Whether it says just one thing: that there is no undo.
    pub fn is_chip(self) -> bool {
        matches!(self, Self::Nothing | Self::OneWay)
    }

    /// Whether it is a dot, without words.
    pub fn is_dot(self) -> bool {
        matches!(self, Self::Join | Self::BackJoin)
    }
}

/// A line in a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it says.
    pub text: String,
    /// What kind of thing that is.
    pub role: LineRole,
}

/// What a line in a box says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineRole {
    /// What it is called.
    Title,
    /// What it does: the verb and its object.
    Does,
    /// Under which condition; an expression.
    Condition,
    /// How long and how often.
    Limit,
    /// What happens when it does not end well.
    Reaction,
    /// How far a saga is with it.
    State,
}

/// A way from one node to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Position of a node.
    pub from: usize,
    /// Position of a node.
    pub to: usize,
    /// What it stands for.
    pub role: EdgeRole,
    /// From the border of one to the border of the other; each part is level or upright.
    pub points: Vec<Point>,
    /// When this way is taken; a label stands beside it.
    pub label: Option<String>,
}

/// What a way stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeRole {
    /// The step before is done.
    Forward,
    /// A step did not end well, and other steps are taken.
    SideWay,
    /// From a step to where it is undone.
    Drop,
    /// What is undone next.
    Back,
}

/// What holds nodes together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it stands for.
    pub role: FrameRole,
    /// The step it belongs to.
    pub step: String,
    /// Where it lies.
    pub rect: Rect,
    /// The frame around it.
    pub parent: Option<usize>,
    /// What a reader is told of it, such as `parallel pay_and_ship`.
    pub title: String,
}

/// What a frame stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FrameRole {
    /// Branches side by side.
    Parallel,
    /// One of several.
    Choose,
    /// The same for each item.
    Each,
    /// The same until it is enough.
    Repeat,
    /// What is done instead.
    SideWay,
}

/// Words that stand free: the name of a branch, the condition of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Its left upper corner.
    pub at: Point,
    /// What it says.
    pub text: String,
    /// What it names.
    pub role: FrameRole,
}

/// Something that the legend explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sample {
    /// A way.
    Edge(EdgeRole, &'static str),
    /// A box.
    Node(NodeRole, &'static str),
}

impl Drawing {
    /// What the legend explains: only what is there.
    pub fn legend(&self) -> Vec<Sample> {
        let edges = [
            (EdgeRole::Forward, "goes forward"),
            (EdgeRole::Back, "undoes, newest first"),
            (EdgeRole::SideWay, "taken instead"),
        ];
        let nodes = [
            (NodeRole::Pivot, "pivot: only forward from here"),
            (NodeRole::Nothing, "undo: nothing"),
            (NodeRole::OneWay, "past the pivot, no undo"),
        ];
        let edges = edges
            .into_iter()
            .filter(|(role, _)| self.edges.iter().any(|edge| edge.role == *role))
            .map(|(role, words)| Sample::Edge(role, words));
        let nodes = nodes
            .into_iter()
            .filter(|(role, _)| self.nodes.iter().any(|node| node.role == *role))
            .map(|(role, words)| Sample::Node(role, words));
        edges.chain(nodes).collect()
    }
}
