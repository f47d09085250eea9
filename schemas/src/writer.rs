//! A schema that somebody wrote with, made ready for reading.

use std::fmt;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::schema::ResolvedSchema;
use apache_avro::writer::datum::GenericDatumWriter;

use crate::known::{self, RecordKind};
use crate::{DecodeError, Limits, fingerprint, guard, json};

/// A schema that somebody wrote with. Made once for each schema and kept for the life of the process.
pub(crate) struct Writer {
    name: String,
    kind: Option<RecordKind>,
    format: Format,
}

enum Format {
    Avro {
        schema: &'static Schema,
        names: ResolvedSchema<'static>,
        fingerprint: u64,
        resolver: Option<Box<Resolver>>,
    },
    /// JSON behind a Confluent frame, as JSON Schema serializers write it.
    #[cfg(feature = "registry")]
    Json,
}

/// Reads a record of the wire as this version would have written it.
///
/// The reader is only ever asked for a `Value`: apache-avro 0.22 panics when a reader with a reader
/// schema deserializes.
struct Resolver {
    reader: GenericDatumReader<'static>,
    writer: GenericDatumWriter<'static>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Writer {
    /// Makes a schema ready. `references` are the schemas of named types that it lacks, each
    /// after those that it refers to itself.
    ///
    /// The parsed schema is leaked, because apache-avro's readers borrow theirs: call it once for each
    /// schema, and only for a bounded number of them.
    pub(crate) fn avro(text: &str, references: &[String]) -> Result<Self, String> {
        Self::parse(text, references).map_err(|error| error.to_string())
    }

    fn parse(text: &str, references: &[String]) -> Result<Self, apache_avro::Error> {
        let (schema, others) = Schema::parse_str_with_list(text, references)?;
        let name = schema.name().map_or_else(
            || "a schema without a name".to_owned(),
            |name| name.fullname(None),
        );
        let kind = RecordKind::ALL.into_iter().find(|kind| kind.name() == name);
        let fingerprint = serde_json::from_str(text).map_or(0, |text| fingerprint::of(&text));
        let schema: &'static Schema = Box::leak(Box::new(schema));
        // Names must be known before they are referred to.
        let mut schemata: Vec<&'static Schema> = Vec::new();
        for other in others {
            schemata.push(Box::leak(Box::new(other)));
        }
        schemata.push(schema);
        let names = ResolvedSchema::new_with_schemata(schemata)?;
        let resolver = match kind {
            None => None,
            Some(kind) => {
                let ours = &known::current(kind).schema;
                Some(Box::new(Resolver {
                    reader: GenericDatumReader::builder(schema)
                        .resolved_writer_schemata(names.clone())
                        .reader_schema(ours)
                        .build()?,
                    writer: GenericDatumWriter::builder(ours).build()?,
                }))
            }
        };
        Ok(Self {
            name,
            kind,
            format: Format::Avro {
                schema,
                names,
                fingerprint,
                resolver,
            },
        })
    }

    /// The writer of JSON behind a Confluent frame.
    #[cfg(feature = "registry")]
    pub(crate) fn json() -> Self {
        Self {
            name: "JSON".to_owned(),
            kind: None,
            format: Format::Json,
        }
    }

    /// The full name of the record, for messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Which record of the wire it is, by its name.
    pub(crate) fn kind(&self) -> Option<RecordKind> {
        self.kind
    }

    /// The fingerprint under which a single-object frame names it; `None` for JSON.
    pub(crate) fn fingerprint(&self) -> Option<u64> {
        match &self.format {
            Format::Avro { fingerprint, .. } => Some(*fingerprint),
            #[cfg(feature = "registry")]
            Format::Json => None,
        }
    }

    /// Whether a datum is byte for byte what this version writes.
    pub(crate) fn is_current(&self) -> bool {
        self.kind
            .is_some_and(|kind| self.fingerprint() == Some(kind.fingerprint()))
    }

    /// Reads a datum as it was written.
    pub(crate) fn value(
        &self,
        datum: &[u8],
        limits: &Limits,
    ) -> Result<serde_json::Value, DecodeError> {
        match &self.format {
            Format::Avro { schema, names, .. } => {
                guard::check(schema, names.get_names(), datum, limits, &self.name)?;
                json::from_avro(schema, names.get_names(), datum).map_err(|e| self.malformed(e))
            }
            #[cfg(feature = "registry")]
            Format::Json => json::parse(datum, limits),
        }
    }

    /// Turns a datum of another version into the one that this version would have written, by the
    /// specification's rules: fields that are gone are dropped, new ones take their default.
    pub(crate) fn resolve(&self, datum: &[u8], limits: &Limits) -> Result<Vec<u8>, DecodeError> {
        match &self.format {
            Format::Avro {
                schema,
                names,
                resolver: Some(resolver),
                ..
            } => {
                guard::check(schema, names.get_names(), datum, limits, &self.name)?;
                resolver
                    .reader
                    .read_value(&mut &*datum)
                    .and_then(|value| resolver.writer.write_value_to_vec(value))
                    .map_err(|error| self.malformed(error.to_string()))
            }
            Format::Avro { resolver: None, .. } => {
                Err(self.malformed("it is no record of the wire".to_owned()))
            }
            #[cfg(feature = "registry")]
            Format::Json => Err(self.malformed("it is no record of the wire".to_owned())),
        }
    }

    fn malformed(&self, detail: String) -> DecodeError {
        DecodeError::Malformed {
            record: self.name.clone(),
            detail,
        }
    }
}
