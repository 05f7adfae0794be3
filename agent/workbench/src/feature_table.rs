//! Feature vectors as a Parquet file, for training: one row a window and subject, one nullable column a feature.
//! pandas, Polars, DuckDB and Spark read it as it is. The digests of the feature specification and of the
//! catalog stand in the file's metadata, so that a model can be traced to what it was trained on.

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriterImpl;
use parquet::data_type::{DataType, FloatType, Int32Type, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use telltale_wire::digest::Digest;

/// Metadata key of the feature specification's digest, in hexadecimal.
pub const SPEC_DIGEST_KEY: &str = "telltale.spec_digest";
/// Metadata key of the signal catalog's digest, in hexadecimal.
pub const CATALOG_DIGEST_KEY: &str = "telltale.catalog_digest";

/// The columns before the features: window number, its end in microseconds, subject.
const KEY_COLUMNS: [&str; 3] = ["window", "end_us", "subject"];
/// Values that are held back for one row group. At 6 bytes each that is 12 MiB.
const VALUES_PER_GROUP: usize = 1 << 21;
const MAX_ROWS_PER_GROUP: usize = 1 << 16;
/// More than any model here takes, and few enough that a row group still has hundreds of rows.
const MAX_FEATURES: usize = 4_096;

/// What the rows were made by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provenance {
    /// Of the feature specification.
    pub spec: Digest,
    /// Of the signal catalog.
    pub catalog: Digest,
}

/// Why a feature table was not written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The file could not be made.
    #[error("cannot create the feature table {path}")]
    Create {
        /// Where.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A name twice, or that of a key column: a reader would take one for the other.
    #[error("two columns of the feature table are called `{0}`")]
    DuplicateName(String),
    /// More columns than a table takes.
    #[error("{0} features are more than the {MAX_FEATURES} that a table takes")]
    TooManyFeatures(usize),
    /// A row that does not have one value per feature.
    #[error("a row of {got} values does not fit a table of {expected} features")]
    RowLength {
        /// Features.
        expected: usize,
        /// Values.
        got: usize,
    },
    /// Encoding or writing failed.
    #[error("cannot write the feature table")]
    Parquet(#[from] ParquetError),
}

/// A table that is being written. Without [`FeatureTable::finish`] the file has no footer, and no reader takes it.
pub struct FeatureTable<W: Write + Send> {
    file: SerializedFileWriter<W>,
    rows_per_group: usize,
    windows: Vec<i64>,
    ends_us: Vec<i64>,
    subjects: Vec<i32>,
    features: Vec<Column>,
}

/// The values that are there, and for each row whether one is (Parquet's definition level).
#[derive(Default)]
struct Column {
    values: Vec<f32>,
    present: Vec<i16>,
}

impl FeatureTable<io::BufWriter<File>> {
    /// A table at this path, which replaces what was there.
    ///
    /// # Errors
    /// The file, and everything of [`FeatureTable::new`].
    pub fn create(path: &Path, feature_names: &[String], made_by: &Provenance) -> Result<Self, TableError> {
        let create = |source| TableError::Create { path: path.display().to_string(), source };
        FeatureTable::new(io::BufWriter::new(File::create(path).map_err(create)?), feature_names, made_by)
    }
}

impl<W: Write + Send> FeatureTable<W> {
    /// A table with a column for each feature, in this order.
    ///
    /// # Errors
    /// Names that occur twice, too many features, or the writer.
    pub fn new(out: W, feature_names: &[String], made_by: &Provenance) -> Result<Self, TableError> {
        if feature_names.len() > MAX_FEATURES {
            return Err(TableError::TooManyFeatures(feature_names.len()));
        }
        let mut seen = HashSet::from(KEY_COLUMNS);
        if let Some(twice) = feature_names.iter().find(|name| !seen.insert(name)) {
            return Err(TableError::DuplicateName(twice.clone()));
        }
        let metadata = vec![
            KeyValue::new(SPEC_DIGEST_KEY.into(), made_by.spec.to_hex()),
            KeyValue::new(CATALOG_DIGEST_KEY.into(), made_by.catalog.to_hex()),
        ];
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .set_created_by(concat!("telltale ", env!("CARGO_PKG_VERSION")).into())
            .set_key_value_metadata(Some(metadata))
            .build();
        let file = SerializedFileWriter::new(out, Arc::new(schema(feature_names)?), Arc::new(properties))?;
        Ok(FeatureTable {
            file,
            rows_per_group: (VALUES_PER_GROUP / feature_names.len().max(1)).min(MAX_ROWS_PER_GROUP),
            windows: Vec::new(),
            ends_us: Vec::new(),
            subjects: Vec::new(),
            features: feature_names.iter().map(|_| Column::default()).collect(),
        })
    }

    /// Adds a row: the window's end in microseconds (on whichever clock the caller keeps to), its number, the
    /// subject's place in the specification, and one value per feature; `None` becomes null, never zero.
    ///
    /// # Errors
    /// A row of another length, or the writer.
    pub fn push(
        &mut self,
        end_us: i64,
        window: u64,
        subject: u16,
        values: &[Option<f32>],
    ) -> Result<(), TableError> {
        if values.len() != self.features.len() {
            return Err(TableError::RowLength { expected: self.features.len(), got: values.len() });
        }
        self.windows.push(window as i64);
        self.ends_us.push(end_us);
        self.subjects.push(i32::from(subject));
        for (column, value) in self.features.iter_mut().zip(values) {
            column.values.extend(value);
            column.present.push(i16::from(value.is_some()));
        }
        if self.windows.len() >= self.rows_per_group { self.flush_group() } else { Ok(()) }
    }

    /// Writes what is held back and the footer, and gives the writer back.
    ///
    /// # Errors
    /// The writer.
    pub fn finish(mut self) -> Result<W, TableError> {
        self.flush_group()?;
        Ok(self.file.into_inner()?)
    }

    fn flush_group(&mut self) -> Result<(), TableError> {
        if self.windows.is_empty() {
            return Ok(());
        }
        let mut group = self.file.next_row_group()?;
        write_column::<Int64Type, W>(&mut group, &self.windows, None)?;
        write_column::<Int64Type, W>(&mut group, &self.ends_us, None)?;
        write_column::<Int32Type, W>(&mut group, &self.subjects, None)?;
        for column in &mut self.features {
            write_column::<FloatType, W>(&mut group, &column.values, Some(&column.present))?;
            column.values.clear();
            column.present.clear();
        }
        group.close()?;
        self.windows.clear();
        self.ends_us.clear();
        self.subjects.clear();
        Ok(())
    }
}

fn schema(feature_names: &[String]) -> Result<Type, ParquetError> {
    let unsigned = |bit_width| Some(LogicalType::integer(bit_width, false));
    let key = |name, physical, logical| {
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(logical)
            .build()
    };
    let mut fields = vec![
        Arc::new(key(KEY_COLUMNS[0], Physical::INT64, unsigned(64))?),
        Arc::new(key(KEY_COLUMNS[1], Physical::INT64, None)?),
        Arc::new(key(KEY_COLUMNS[2], Physical::INT32, unsigned(16))?),
    ];
    for name in feature_names {
        let feature =
            Type::primitive_type_builder(name, Physical::FLOAT).with_repetition(Repetition::OPTIONAL);
        fields.push(Arc::new(feature.build()?));
    }
    Type::group_type_builder("features").with_fields(fields).build()
}

fn write_column<D: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    values: &[D::T],
    present: Option<&[i16]>,
) -> Result<(), ParquetError> {
    let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column too many".into()))?;
    let typed: &mut ColumnWriterImpl<'_, D> = column.typed::<D>();
    typed.write_batch(values, present, None)?;
    column.close()
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    const MADE_BY: Provenance = Provenance { spec: Digest([0xAB; 32]), catalog: Digest([0xCD; 32]) };

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.into()).collect()
    }

    /// 1,000 windows of two subjects; every third value of `b` is absent.
    fn write_sample(path: &Path) {
        let mut table = FeatureTable::create(path, &names(&["a", "b"]), &MADE_BY).unwrap();
        for window in 0..1_000_u64 {
            for subject in 0..2_u16 {
                let b = (window % 3 != 0).then_some(-(window as f32));
                table
                    .push(window as i64 * 1_000_000, window, subject, &[Some(window as f32 + 0.5), b])
                    .unwrap();
            }
        }
        table.finish().unwrap();
    }

    #[test]
    fn rows_come_back_as_they_were_pushed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("features.parquet");
        write_sample(&path);
        let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
        let metadata = reader.metadata().file_metadata().key_value_metadata().unwrap();
        let digest = metadata.iter().find(|kv| kv.key == SPEC_DIGEST_KEY).and_then(|kv| kv.value.clone());
        assert_eq!(digest, Some("ab".repeat(32)));

        let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(rows.len(), 2_000);
        let row: Vec<_> = rows[6].get_column_iter().collect();
        let (name, value) = row[0];
        assert_eq!((name.as_str(), value), ("window", &Field::ULong(3)));
        assert_eq!(row[1].1, &Field::Long(3_000_000));
        assert_eq!(row[2].1, &Field::UShort(0));
        assert_eq!(row[3].1, &Field::Float(3.5));
        assert_eq!(row[4].1, &Field::Null, "absence is not zero");
        assert_eq!(rows[9].get_column_iter().nth(4).unwrap().1, &Field::Float(-4.0));
    }

    #[test]
    fn row_groups_bound_the_memory() {
        let many: Vec<String> = (0..MAX_FEATURES).map(|k| format!("f{k}")).collect();
        let mut table = FeatureTable::new(Vec::new(), &many, &MADE_BY).unwrap();
        let row = vec![None; MAX_FEATURES];
        for window in 0..=512 {
            table.push(0, window, 0, &row).unwrap();
            assert!(table.windows.len() < 512, "a full group is written at once");
        }
        assert_eq!(table.windows.len(), 1);
        let file = table.finish().unwrap();
        assert_eq!(&file[file.len() - 4..], b"PAR1");
    }

    #[test]
    fn tables_that_no_reader_could_tell_apart_are_refused() {
        let new = |list: &[&str]| FeatureTable::new(Vec::new(), &names(list), &MADE_BY);
        assert!(matches!(new(&["a", "b", "a"]), Err(TableError::DuplicateName(name)) if name == "a"));
        assert!(matches!(new(&["end_us"]), Err(TableError::DuplicateName(_))));
        let mut table = new(&["a"]).unwrap();
        assert!(matches!(table.push(0, 0, 0, &[]), Err(TableError::RowLength { expected: 1, got: 0 })));
        assert!(FeatureTable::new(Vec::new(), &vec![String::new(); MAX_FEATURES + 1], &MADE_BY).is_err());
    }

    /// Parquet's reference reader has the last word. TELLTALE_PYTHON names a Python that has pyarrow.
    #[test]
    fn pyarrow_reads_it() {
        let Ok(python) = std::env::var("TELLTALE_PYTHON") else {
            println!("skipped: TELLTALE_PYTHON is not set");
            return;
        };
        let has_pyarrow = std::process::Command::new(&python).args(["-c", "import pyarrow.parquet"]).output();
        if !has_pyarrow.is_ok_and(|output| output.status.success()) {
            println!("skipped: {python} has no pyarrow");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("features.parquet");
        write_sample(&path);
        let script = "
import sys, pyarrow.parquet as pq
t = pq.read_table(sys.argv[1])
assert t.column_names == ['window', 'end_us', 'subject', 'a', 'b'], t.column_names
assert t.num_rows == 2000 and t['b'].null_count == 668, (t.num_rows, t['b'].null_count)
assert t['a'].to_pylist()[9] == 4.5 and str(t.schema.field('a').type) == 'float'
assert pq.read_metadata(sys.argv[1]).metadata[b'telltale.catalog_digest'] == b'cd' * 32
";
        let output = std::process::Command::new(&python).args(["-c", script]).arg(&path).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
