//! Pieces of documents, as they are quoted, and how they are found: by their words and by their vectors.
//!
//! A search is two steps. The index of words is asked across the wall between tenants, with the tenant as one of the words
//! and in the `where`, and gives numbers only: under a row policy PostgreSQL does not use an index for `@@`, which is not
//! leakproof. What the numbers stand for is then read by the tenant itself, behind the wall.

use crate::document_words::{fts5, query_words, quoted, tsquery, words};
use crate::row_security::Identity;
use crate::sql::{Row, Statement, sql, statements};
use crate::tx::Sealed as _;
use crate::{Dialect, Error, Tx};
use model::DocumentId;

/// Most pieces of one document.
pub const CHUNKS_MAX: usize = 4_000;
/// Most pieces that one look into the index gives.
pub const FOUND_MAX: u32 = 200;
/// Most vectors of a tenant that are compared: the newest. Of 1536 numbers each they are 12 MB.
pub const VECTORS_MAX: u32 = 2_000;

statements! {
    ADD = "document_chunks.add" ["insert into document_chunks
        (tenant_id, document_id, position, heading, text, words, embedding, embedder)
        values ($1, $2, $3, $4, $5, $6, $7, $8)"];
    REMOVE = "document_chunks.remove" ["delete from document_chunks where tenant_id = $1 and document_id = $2"];
    VECTORS = "document_chunks.vectors" ["select c.number, c.embedding, d.collection from document_chunks c
        join documents d on d.tenant_id = c.tenant_id and d.id = c.document_id
        where c.tenant_id = $1 and c.embedder = $2 order by c.number desc limit $3"];
}

/// The index of words is another thing in each database. SQLite's ranks by how rare words are; PostgreSQL's `ts_rank` does
/// not, so that is counted here, over the newest 5000 pieces that have any of the words.
const FIND: Statement = Statement::new(
    "document_chunks.find",
    "-- document_chunks.find
select c.number from document_words w
    join document_chunks c on c.number = w.rowid
where document_words match $2 and c.tenant_id = $1 and $4 is not null
    and ($3 is null or c.document_id in (select d.id from documents d
        where d.tenant_id = $1 and d.collection in (select value from json_each($3))))
order by w.rank, c.number limit $5",
    "-- document_chunks.find
with hits as materialized (
    select c.number, c.lexemes from document_chunks c
    where c.lexemes @@ cast(cast($2 as text) as tsquery) and c.tenant_id = $1
        and ($3::jsonb is null or c.document_id in (select d.id from documents d
            where d.tenant_id = $1 and d.collection in (select jsonb_array_elements_text($3::jsonb))))
    order by c.number desc limit 5000
), asked as materialized (
    select cast(jsonb_array_elements_text($4::jsonb) as tsquery) as word
), found as materialized (
    select a.word, h.number, count(*) over (partition by a.word) as n from asked a join hits h on h.lexemes @@ a.word
)
select v.number from found v
group by v.number order by sum(ln(1 + (select count(*) from hits) / cast(v.n as float8))) desc, v.number limit $5",
);

/// So is a list of numbers as one parameter.
const READ: Statement = Statement::new(
    "document_chunks.read",
    "-- document_chunks.read
select c.number, c.document_id, c.position, c.heading, c.text, c.words, d.title, d.collection from document_chunks c
    join documents d on d.tenant_id = c.tenant_id and d.id = c.document_id
where c.tenant_id = $1 and c.number in (select value from json_each($2))",
    "-- document_chunks.read
select c.number, c.document_id, c.position, c.heading, c.text, c.words, d.title, d.collection from document_chunks c
    join documents d on d.tenant_id = c.tenant_id and d.id = c.document_id
where c.tenant_id = $1 and c.number in (select cast(jsonb_array_elements_text($2::jsonb) as bigint))",
);

/// Those that differ between the databases.
pub(crate) const SEARCH_STATEMENTS: &[&Statement] = &[&FIND, &READ];

/// A piece to keep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewChunk {
    /// The headings it stands under, the document's title first. It is found by them too.
    pub heading: String,
    /// The piece itself.
    pub text: String,
    /// Its vector, when there is an embedder.
    pub embedding: Option<Vec<f32>>,
}

/// A piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Its number in the index.
    pub number: i64,
    /// Of which document.
    pub document: DocumentId,
    /// Which piece of it, from 0.
    pub position: u32,
    /// The headings it stands under.
    pub heading: String,
    /// The piece itself.
    pub text: String,
    /// The words it is found by, normalised, with spaces between.
    pub words: String,
    /// The document's title.
    pub title: String,
    /// The document's collection.
    pub collection: String,
}

/// The vector of a piece.
#[derive(Clone, Debug, PartialEq)]
pub struct Vector {
    /// The piece's number.
    pub number: i64,
    /// The document's collection.
    pub collection: String,
    /// The vector, of length one.
    pub values: Vec<f32>,
}

/// What is asked, as words: only letters, digits and marks, each once, at most 24, without those that say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// The words of a question in anybody's own words.
    #[must_use]
    pub fn of(query: &str) -> Self {
        Self(query_words(query))
    }

    /// Nothing to look for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The words.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

fn chunk(row: &Row) -> Result<Chunk, Error> {
    Ok(Chunk {
        number: row.get("number")?,
        document: row.id("document_id")?,
        position: row.unsigned("position")?,
        heading: row.get("heading")?,
        text: row.get("text")?,
        words: row.get("words")?,
        title: row.get("title")?,
        collection: row.get("collection")?,
    })
}

pub(crate) async fn add(
    tx: &mut Tx,
    document: DocumentId,
    position: u32,
    new: &NewChunk,
    embedder: Option<&str>,
) -> Result<(), Error> {
    let words = [words(&new.heading), words(&new.text)].concat().join(" ");
    let embedding: Option<Vec<u8>> =
        new.embedding.as_ref().map(|values| values.iter().flat_map(|value| value.to_le_bytes()).collect());
    let embedder = embedder.filter(|_| embedding.is_some()).map(str::to_owned);
    sql(&ADD)
        .bind(tx.tenant())
        .bind(document)
        .bind(position)
        .bind(new.heading.as_str())
        .bind(new.text.as_str())
        .bind(words)
        .bind(embedding)
        .bind(embedder)
        .run(tx)
        .await
        .map(|_| ())
}

pub(crate) async fn remove(tx: &mut Tx, document: DocumentId) -> Result<(), Error> {
    sql(&REMOVE).bind(tx.tenant()).bind(document).run(tx).await.map(|_| ())
}

/// Numbers of the tenant's pieces that have any of these words, likeliest first, at most [`FOUND_MAX`]. No collections =
/// all.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Tx, words: &Words, collections: &[String]) -> Result<Vec<i64>, Error> {
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let tenant = tx.tenant();
    let lexeme = format!("t{}", tenant.0.simple());
    let raw = tx.raw();
    let query = match raw.dialect() {
        Dialect::Sqlite => fts5(&lexeme, &words.0),
        Dialect::Postgres => tsquery(&lexeme, &words.0),
    };
    let wanted = (!collections.is_empty()).then(|| serde_json::Value::from(collections));
    let mut index = raw.acting(Identity::System);
    let each: Vec<String> = words.iter().map(quoted).collect();
    let each = serde_json::Value::from(each);
    let find = sql(&FIND).bind(tenant).bind(query).bind(wanted).bind(each).bind(FOUND_MAX);
    find.all(&mut index, |row| row.get("number")).await
}

/// The pieces of these numbers that there still are, in no order.
///
/// # Errors
/// When the database fails.
pub async fn read(tx: &mut Tx, numbers: &[i64]) -> Result<Vec<Chunk>, Error> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    sql(&READ).bind(tx.tenant()).bind(serde_json::Value::from(numbers)).all(tx, chunk).await
}

/// The newest vectors that this embedder has made, at most [`VECTORS_MAX`].
///
/// # Errors
/// When the database fails.
pub async fn vectors(tx: &mut Tx, embedder: &str) -> Result<Vec<Vector>, Error> {
    let read = sql(&VECTORS).bind(tx.tenant()).bind(embedder).bind(VECTORS_MAX);
    read.all(tx, |row| {
        let bytes: Vec<u8> = row.get("embedding")?;
        let (values, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(Error::broken("a vector is cut off"));
        }
        let values = values.iter().map(|value| f32::from_le_bytes(*value)).collect();
        Ok(Vector { number: row.get("number")?, collection: row.get("collection")?, values })
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _, SqliteConnection};

    /// Every turn of every caller asks these.
    #[tokio::test]
    async fn a_search_goes_along_indexes() {
        let mut database = SqliteConnection::connect("sqlite::memory:").await.expect("opens");
        for text in [
            include_str!("../../../migrations/0001_calls.up.sql"),
            include_str!("../../../migrations/0011_knowledge.up.sql"),
            include_str!("../../../migrations/0011_knowledge.sqlite.up.sql"),
        ] {
            sqlx::raw_sql(text).execute(&mut database).await.expect("made");
        }
        database.execute("analyze").await.expect("analysed");
        for (statement, tables) in [(&FIND, ["w", "c"].as_slice()), (&READ, &["c", "d"]), (&VECTORS, &["c", "d"])] {
            let text = format!("explain query plan {}", statement.text(Dialect::Sqlite));
            let rows = sqlx::query(AssertSqlSafe(text)).fetch_all(&mut database).await.expect("a plan");
            let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
            for table in tables {
                let by_index = format!("SEARCH {table} USING");
                let by_words = format!("SCAN {table} VIRTUAL TABLE INDEX");
                let used = |step: &String| step.starts_with(&by_index) || step.starts_with(&by_words);
                assert!(plan.iter().any(used), "{}: {table} in {plan:?}", statement.name);
            }
        }
    }
}
