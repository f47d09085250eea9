//! What must hold before a definition is run.

use super::diagnostic::Diagnostic;
use super::model::Definition;
use super::place::Places;

/// Checks a whole definition.
pub(super) fn check(_definition: &Definition, _places: &Places, _found: &mut Vec<Diagnostic>) {}
