//! From a text to types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::fit::default_misfit;
use super::kind::{Field, Kind, TypeId};
use super::limits::{SCHEMA_BYTES_MAX, SCHEMA_DEPTH_MAX, SCHEMA_TYPES_MAX};
use super::schema::SchemaError;

/// The schema as JSON, its types, and which of them a document has.
pub(super) fn parse(text: &str) -> Result<(Value, Vec<Kind>, TypeId), SchemaError> {
    if text.len() > SCHEMA_BYTES_MAX {
        return Err(SchemaError {
            at: String::new(),
            reason: format!(
                "the schema has {} bytes, and at most {SCHEMA_BYTES_MAX} are allowed",
                text.len()
            ),
        });
    }
    let source: Value = serde_json::from_str(text).map_err(|error| SchemaError {
        at: String::new(),
        reason: format!("not JSON: {error}"),
    })?;
    let mut parser = Parser::default();
    let root = parser.schema(&source, "", "", 1)?;
    for (id, at, default) in &parser.defaults {
        if let Some(misfit) = default_misfit(&parser.kinds, *id, default) {
            return Err(error(at, format!("the default {misfit}")));
        }
    }
    Ok((source, parser.kinds, root))
}

fn error(at: &str, reason: impl Into<String>) -> SchemaError {
    SchemaError {
        at: at.to_owned(),
        reason: reason.into(),
    }
}

#[derive(Default)]
struct Parser {
    kinds: Vec<Kind>,
    /// By full name.
    named: BTreeMap<String, TypeId>,
    /// Defaults of fields are held against their types once all types are known.
    defaults: Vec<(TypeId, String, Value)>,
}

impl Parser {
    fn add(&mut self, kind: Kind, at: &str) -> Result<TypeId, SchemaError> {
        if self.kinds.len() >= SCHEMA_TYPES_MAX {
            let reason = format!("more than {SCHEMA_TYPES_MAX} types");
            return Err(error(at, reason));
        }
        self.kinds.push(kind);
        Ok(TypeId(self.kinds.len() - 1))
    }

    fn schema(
        &mut self,
        json: &Value,
        at: &str,
        namespace: &str,
        depth: usize,
    ) -> Result<TypeId, SchemaError> {
        if depth > SCHEMA_DEPTH_MAX {
            let reason = format!("more than {SCHEMA_DEPTH_MAX} types inside each other");
            return Err(error(at, reason));
        }
        match json {
            Value::String(name) => self.by_name(name, at, namespace),
            Value::Array(branches) => self.union(branches, at, namespace, depth),
            Value::Object(attributes) => self.complex(attributes, at, namespace, depth),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                let reason = "a type is a name, an object or a list of types";
                Err(error(at, reason))
            }
        }
    }

    fn by_name(&mut self, name: &str, at: &str, namespace: &str) -> Result<TypeId, SchemaError> {
        if let Some(kind) = primitive(name) {
            return self.add(kind, at);
        }
        let known = self
            .named
            .get(&full_name(name, namespace))
            .or_else(|| self.named.get(name));
        known.copied().ok_or_else(|| {
            let reason = if ["record", "enum", "array", "map", "fixed"].contains(&name) {
                format!("`{name}` needs more: write an object, `{{\"type\": \"{name}\", …}}`")
            } else {
                format!("there is no type `{name}` before here")
            };
            error(at, reason)
        })
    }

    fn union(
        &mut self,
        branches: &[Value],
        at: &str,
        namespace: &str,
        depth: usize,
    ) -> Result<TypeId, SchemaError> {
        if branches.is_empty() {
            return Err(error(at, "a union of no types"));
        }
        let mut ids = Vec::new();
        let mut seen = BTreeSet::new();
        for (n, branch) in branches.iter().enumerate() {
            let at = format!("{at}[{n}]");
            let id = self.schema(branch, &at, namespace, depth + 1)?;
            let label = match self.kinds.get(id.0) {
                Some(Kind::Union(_)) => return Err(error(&at, "a union directly in a union")),
                Some(kind) => union_label(kind, id),
                None => continue,
            };
            if !seen.insert(label) {
                return Err(error(&at, "a type that the union has already"));
            }
            ids.push(id);
        }
        self.add(Kind::Union(ids), at)
    }

    fn complex(
        &mut self,
        attributes: &Map<String, Value>,
        at: &str,
        namespace: &str,
        depth: usize,
    ) -> Result<TypeId, SchemaError> {
        let inner = attributes
            .get("type")
            .ok_or_else(|| error(at, "an object without `type`"))?;
        let inner_at = format!("{at}.type");
        let Value::String(name) = inner else {
            return self.schema(inner, &inner_at, namespace, depth + 1);
        };
        match name.as_str() {
            "record" | "error" => self.record(attributes, at, namespace, depth),
            "enum" => self.enumeration(attributes, at, namespace),
            "fixed" => self.fixed(attributes, at, namespace),
            "array" => {
                let items = required(attributes, "items", at)?;
                let items = self.schema(items, &format!("{at}.items"), namespace, depth + 1)?;
                self.add(Kind::Array(items), at)
            }
            "map" => {
                let values = required(attributes, "values", at)?;
                let values = self.schema(values, &format!("{at}.values"), namespace, depth + 1)?;
                self.add(Kind::Map(values), at)
            }
            name => match logical(attributes, name) {
                Some(kind) => self.add(kind, at),
                None => self.by_name(name, &inner_at, namespace),
            },
        }
    }

    /// Puts a type under its name, before its parts are read: they may refer to it.
    fn name(
        &mut self,
        attributes: &Map<String, Value>,
        at: &str,
        namespace: &str,
    ) -> Result<(String, TypeId), SchemaError> {
        let name = text(required(attributes, "name", at)?, &format!("{at}.name"))?;
        let own = match attributes.get("namespace") {
            Some(own) => text(own, &format!("{at}.namespace"))?,
            None => namespace,
        };
        let full = full_name(name, own);
        let bad = |part: &str| !is_name(part);
        if full.split('.').any(bad) {
            let reason = format!("`{full}` is no name: letters, digits and `_`");
            return Err(error(&format!("{at}.name"), reason));
        }
        if self.named.contains_key(&full) || primitive(&full).is_some() {
            let reason = format!("there is a type `{full}` already");
            return Err(error(&format!("{at}.name"), reason));
        }
        // Until its parts are read, it is a type with a name and nothing else.
        let unread = Kind::Fixed {
            name: full.clone(),
            size: 0,
        };
        let id = self.add(unread, at)?;
        self.named.insert(full.clone(), id);
        Ok((full, id))
    }

    fn put(&mut self, id: TypeId, kind: Kind) -> TypeId {
        if let Some(place) = self.kinds.get_mut(id.0) {
            *place = kind;
        }
        id
    }

    fn record(
        &mut self,
        attributes: &Map<String, Value>,
        at: &str,
        namespace: &str,
        depth: usize,
    ) -> Result<TypeId, SchemaError> {
        let (name, id) = self.name(attributes, at, namespace)?;
        let inner = name.rsplit_once('.').map_or("", |(inner, _)| inner);
        let list = list(required(attributes, "fields", at)?, &format!("{at}.fields"))?;
        let mut fields = Vec::new();
        let mut seen = BTreeSet::new();
        for (n, json) in list.iter().enumerate() {
            let at = format!("{at}.fields[{n}]");
            let Value::Object(attributes) = json else {
                return Err(error(&at, "a field is an object with `name` and `type`"));
            };
            let name = text(required(attributes, "name", &at)?, &format!("{at}.name"))?;
            if !is_name(name) {
                let reason = format!("`{name}` is no name: letters, digits and `_`");
                return Err(error(&format!("{at}.name"), reason));
            }
            if !seen.insert(name) {
                let reason = format!("two fields are called `{name}`");
                return Err(error(&format!("{at}.name"), reason));
            }
            let of = required(attributes, "type", &at)?;
            let of = self.schema(of, &format!("{at}.type"), inner, depth + 1)?;
            let default = attributes.get("default").cloned();
            if let Some(default) = &default {
                self.defaults
                    .push((of, format!("{at}.default"), default.clone()));
            }
            fields.push(Field {
                name: name.to_owned(),
                aliases: names(attributes, &at, "")?,
                doc: attributes
                    .get("doc")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                of,
                default,
            });
        }
        let kind = Kind::Record {
            aliases: names(attributes, at, inner)?,
            name,
            fields,
        };
        Ok(self.put(id, kind))
    }

    fn enumeration(
        &mut self,
        attributes: &Map<String, Value>,
        at: &str,
        namespace: &str,
    ) -> Result<TypeId, SchemaError> {
        let (name, id) = self.name(attributes, at, namespace)?;
        let at_symbols = format!("{at}.symbols");
        let list = list(required(attributes, "symbols", at)?, &at_symbols)?;
        let mut symbols = Vec::new();
        for (n, symbol) in list.iter().enumerate() {
            let at = format!("{at_symbols}[{n}]");
            let symbol = text(symbol, &at)?;
            if !is_name(symbol) {
                let reason = format!("`{symbol}` is no symbol: letters, digits and `_`");
                return Err(error(&at, reason));
            }
            if symbols.iter().any(|known| known == symbol) {
                return Err(error(&at, format!("`{symbol}` is there twice")));
            }
            symbols.push(symbol.to_owned());
        }
        let default = match attributes.get("default") {
            None => None,
            Some(default) => {
                let at = format!("{at}.default");
                let default = text(default, &at)?;
                if !symbols.iter().any(|symbol| symbol == default) {
                    return Err(error(&at, format!("`{default}` is none of the symbols")));
                }
                Some(default.to_owned())
            }
        };
        let kind = Kind::Enum {
            name,
            symbols,
            default,
        };
        Ok(self.put(id, kind))
    }

    fn fixed(
        &mut self,
        attributes: &Map<String, Value>,
        at: &str,
        namespace: &str,
    ) -> Result<TypeId, SchemaError> {
        let (name, id) = self.name(attributes, at, namespace)?;
        let size = required(attributes, "size", at)?
            .as_u64()
            .ok_or_else(|| error(&format!("{at}.size"), "a size is a whole number"))?;
        let kind = match attributes.get("logicalType").and_then(Value::as_str) {
            Some("decimal") => decimal(attributes),
            Some("duration") if size == 12 => Some(Kind::Duration),
            Some("uuid") if size == 16 => Some(Kind::Uuid),
            Some(_) | None => None,
        };
        Ok(self.put(id, kind.unwrap_or(Kind::Fixed { name, size })))
    }
}

/// Two branches of a union differ in this.
fn union_label(kind: &Kind, id: TypeId) -> String {
    match kind {
        Kind::Enum { .. } | Kind::Record { .. } | Kind::Fixed { .. } => format!("#{}", id.0),
        Kind::Array(_) => "array".to_owned(),
        Kind::Map(_) => "map".to_owned(),
        Kind::Float => "float".to_owned(),
        // Each may be a fixed, which is told by its name.
        Kind::Decimal { .. } | Kind::Duration | Kind::Uuid => format!("#{}", id.0),
        Kind::Null
        | Kind::Boolean
        | Kind::Int
        | Kind::Long
        | Kind::Double
        | Kind::String
        | Kind::Bytes
        | Kind::Union(_) => kind.tell(),
    }
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "string" => Kind::String,
        "bytes" => Kind::Bytes,
        _ => return None,
    })
}

/// A primitive with a logical type that documents show otherwise.
fn logical(attributes: &Map<String, Value>, name: &str) -> Option<Kind> {
    match (attributes.get("logicalType")?.as_str()?, name) {
        ("decimal", "bytes") => decimal(attributes),
        ("uuid", "string" | "bytes") => Some(Kind::Uuid),
        _ => None,
    }
}

/// `None` where its numbers make no sense: Avro has the type below it then.
fn decimal(attributes: &Map<String, Value>) -> Option<Kind> {
    let precision = attributes.get("precision")?.as_u64().filter(|p| *p > 0)?;
    let scale = match attributes.get("scale") {
        None => 0,
        Some(scale) => scale.as_u64()?,
    };
    (scale <= precision).then_some(Kind::Decimal { precision, scale })
}

fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.trim_start_matches('.').to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn required<'j>(
    attributes: &'j Map<String, Value>,
    name: &str,
    at: &str,
) -> Result<&'j Value, SchemaError> {
    attributes
        .get(name)
        .ok_or_else(|| error(at, format!("`{name}` is missing")))
}

fn text<'j>(json: &'j Value, at: &str) -> Result<&'j str, SchemaError> {
    json.as_str()
        .ok_or_else(|| error(at, "a text is expected here"))
}

fn list<'j>(json: &'j Value, at: &str) -> Result<&'j [Value], SchemaError> {
    json.as_array()
        .map(Vec::as_slice)
        .ok_or_else(|| error(at, "a list is expected here"))
}

/// The `aliases` of a record or a field.
fn names(
    attributes: &Map<String, Value>,
    at: &str,
    namespace: &str,
) -> Result<Vec<String>, SchemaError> {
    let Some(aliases) = attributes.get("aliases") else {
        return Ok(Vec::new());
    };
    let at = format!("{at}.aliases");
    list(aliases, &at)?
        .iter()
        .map(|alias| Ok(full_name(text(alias, &at)?, namespace)))
        .collect()
}
