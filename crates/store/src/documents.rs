//! Documents that agents look things up in: their texts, and how far the index holds them. The pieces that are quoted are
//! [`crate::document_chunks`].

use crate::document_chunks::{self, NewChunk};
use crate::jobs::{self, NewJob};
use crate::sql::{Row, sql, statements};
use crate::{Error, Page, PageRequest, Tx, ids, organisations};
use chrono::{DateTime, Utc};
use model::{DocumentId, DocumentState};
use sha2::{Digest, Sha256};

/// Most documents of a tenant. A handbook of several hundred pages is one; more than this is a search engine's work.
pub const DOCUMENTS_MAX: u32 = 1_000;
/// Longest text of a document, in bytes: several hundred pages.
pub const TEXT_BYTES_MAX: usize = 1024 * 1024;
/// All texts of a tenant together, in bytes.
pub const TENANT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Name of the job that indexes a document.
pub const INDEX_JOB: &str = "index_document";
/// An embedding service that is away for some hours is waited for.
const INDEX_ATTEMPTS_MAX: u32 = 12;
/// Kept of an error's text, in characters.
const ERROR_CHARS_MAX: usize = 500;

macro_rules! columns {
    () => {
        "id, collection, title, source_url, content_hash, bytes, state, error, chunks, embedder, indexed_at, created_at,
        updated_at"
    };
}

statements! {
    CREATE = "documents.create" ["insert into documents
        (id, tenant_id, collection, title, source_url, content_hash, text, bytes, state, chunks, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, 'pending', 0, $9, $9) returning ", columns!()];
    TOTALS = "documents.totals" ["select count(*) as n, coalesce(cast(sum(bytes) as bigint), 0) as bytes,
        coalesce(cast(sum(chunks) as bigint), 0) as chunks, max(indexed_at) as indexed_at
        from documents where tenant_id = $1"];
    GET = "documents.get" ["select ", columns!(), " from documents where tenant_id = $1 and id = $2"];
    TEXT = "documents.text" ["select text from documents where tenant_id = $1 and id = $2"];
    LIST = "documents.list" ["select ", columns!(), " from documents
        where tenant_id = $1 and (collection = $2 or $2 is null) and (state = $3 or $3 is null)
            and (created_at, id) < ($4, $5) order by created_at desc, id desc limit $6"];
    REPLACE = "documents.replace" ["update documents
        set collection = $3, title = $4, source_url = $5, content_hash = $6, text = $7, bytes = $8, updated_at = $9,
            state = case when content_hash = $6 then state else 'pending' end,
            error = case when content_hash = $6 then error else null end
        where tenant_id = $1 and id = $2 returning ", columns!()];
    REINDEX = "documents.reindex" ["update documents set state = 'pending', error = null
        where tenant_id = $1 and id = $2 returning ", columns!()];
    DELETE = "documents.delete" ["delete from documents where tenant_id = $1 and id = $2"];
    INDEXED = "documents.indexed" ["update documents
        set state = $4, error = $5, chunks = $6, embedder = $7, indexed_at = $8
        where tenant_id = $1 and id = $2 and content_hash = $3"];
    NOT_INDEXED = "documents.not_indexed" ["update documents
        set state = 'failed', error = coalesce(error, 'it could not be indexed') where tenant_id = $1 and id = $2
        and state = 'pending'"];
    NOTE_ERROR = "documents.note_error" ["update documents set error = $4
        where tenant_id = $1 and id = $2 and content_hash = $3"];
}

/// A document, without its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its id.
    pub id: DocumentId,
    /// Which agents may look into it: those that name this collection, or none.
    pub collection: String,
    /// Shown to people and to the model.
    pub title: String,
    /// Where it comes from.
    pub source_url: Option<String>,
    /// SHA-256 of title and text.
    pub content_hash: [u8; 32],
    /// Length of the text, bytes.
    pub bytes: u64,
    /// Where it stands.
    pub state: DocumentState,
    /// Why the last attempt to index it failed.
    pub error: Option<String>,
    /// Pieces of it in the index.
    pub chunks: u32,
    /// What their vectors were made by; none = there are none.
    pub embedder: Option<String>,
    /// When it was last indexed.
    pub indexed_at: Option<DateTime<Utc>>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last replaced.
    pub updated_at: DateTime<Utc>,
}

/// What people say of a document.
#[derive(Clone, Copy)]
pub struct NewDocument<'a> {
    /// The collection.
    pub collection: &'a str,
    /// The title.
    pub title: &'a str,
    /// Where it comes from.
    pub source_url: Option<&'a str>,
    /// At most [`TEXT_BYTES_MAX`].
    pub text: &'a str,
}

impl NewDocument<'_> {
    fn hash(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update((self.title.len() as u64).to_be_bytes());
        hash.update(self.title);
        // Moved to another collection, it is indexed anew: what is kept of it elsewhere says where it belongs.
        hash.update((self.collection.len() as u64).to_be_bytes());
        hash.update(self.collection);
        hash.update(self.text);
        hash.finalize().into()
    }
}

/// Which documents of a list.
#[derive(Clone, Copy, Debug, Default)]
pub struct DocumentFilter<'a> {
    /// Only of this collection.
    pub collection: Option<&'a str>,
    /// Only in this state.
    pub state: Option<DocumentState>,
}

/// All documents of a tenant. Two that are equal: nothing was indexed or deleted in between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many.
    pub documents: u32,
    /// Their texts, bytes.
    pub bytes: u64,
    /// Pieces in the index.
    pub chunks: u64,
    /// When one was last indexed.
    pub indexed_at: Option<DateTime<Utc>>,
}

/// What indexing came to.
#[derive(Clone, Copy)]
pub struct Indexed<'a> {
    /// Of which text: nothing happens when the document has another by now.
    pub content_hash: [u8; 32],
    /// Its pieces, in order.
    pub chunks: &'a [NewChunk],
    /// What their vectors were made by; none = they have none.
    pub embedder: Option<&'a str>,
    /// Why there is still something to do.
    pub error: Option<&'a str>,
}

fn document(row: &Row) -> Result<Document, Error> {
    Ok(Document {
        id: row.id("id")?,
        collection: row.get("collection")?,
        title: row.get("title")?,
        source_url: row.get("source_url")?,
        content_hash: row.hash("content_hash")?,
        bytes: row.unsigned("bytes")?,
        state: row.word("state")?,
        error: row.get("error")?,
        chunks: row.unsigned("chunks")?,
        embedder: row.get("embedder")?,
        indexed_at: row.get("indexed_at")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
    })
}

/// Adds a document, and the job that indexes it.
///
/// # Errors
/// [`Error::Conflict`] when the tenant has [`DOCUMENTS_MAX`] or [`TENANT_BYTES_MAX`], or the text is too long.
pub async fn create(tx: &mut Tx, new: &NewDocument<'_>, now: DateTime<Utc>) -> Result<Document, Error> {
    let before = room_for(tx, new, 0).await?;
    if before.documents >= DOCUMENTS_MAX {
        return Err(Error::Conflict("there are 1000 documents already"));
    }
    let made = sql(&CREATE)
        .bind(ids::new(now)?)
        .bind(tx.tenant())
        .bind(new.collection)
        .bind(new.title)
        .bind(new.source_url)
        .bind(new.hash())
        .bind(new.text)
        .bind(new.text.len() as u64)
        .bind(now)
        .required(tx, document)
        .await?;
    enqueue(tx, &made, now).await?;
    Ok(made)
}

/// Under the organisation's lock: two at once do not both find room for one.
async fn room_for(tx: &mut Tx, new: &NewDocument<'_>, instead_of: u64) -> Result<Totals, Error> {
    if new.text.len() > TEXT_BYTES_MAX {
        return Err(Error::Conflict("the text is longer than 1 MiB"));
    }
    organisations::lock(tx).await?;
    let before = totals(tx).await?;
    if before.bytes.saturating_sub(instead_of) + new.text.len() as u64 > TENANT_BYTES_MAX {
        return Err(Error::Conflict("the documents together are longer than 64 MiB"));
    }
    Ok(before)
}

async fn enqueue(tx: &mut Tx, document: &Document, now: DateTime<Utc>) -> Result<(), Error> {
    let tenant = tx.tenant();
    let text: String = document.content_hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let job = NewJob {
        queue: jobs::DEFAULT_QUEUE,
        name: INDEX_JOB,
        // Another text is another job: the one that runs may have read the old one.
        dedup_key: Some(format!("{}:{text}", document.id)),
        payload: serde_json::Map::from_iter([
            ("tenant_id".to_owned(), tenant.to_string().into()),
            ("document_id".to_owned(), document.id.to_string().into()),
        ]),
        sealed: None,
        attempts_max: INDEX_ATTEMPTS_MAX,
        run_at: now,
    };
    jobs::enqueue(tx, &job, now).await.map(|_| ())
}

/// One by id.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(tx: &mut Tx, id: DocumentId) -> Result<Document, Error> {
    sql(&GET).bind(tx.tenant()).bind(id).required(tx, document).await
}

/// The text of one.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn text(tx: &mut Tx, id: DocumentId) -> Result<String, Error> {
    sql(&TEXT).bind(tx.tenant()).bind(id).required(tx, |row| row.get("text")).await
}

/// A page, newest first.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Tx, filter: &DocumentFilter<'_>, page: PageRequest) -> Result<Page<Document>, Error> {
    let list = sql(&LIST).bind(tx.tenant()).bind(filter.collection.map(str::to_owned)).bind(filter.state);
    page.fetch(list, tx, document, |document| (document.created_at, document.id.into())).await
}

/// How much there is.
///
/// # Errors
/// When the database fails.
pub async fn totals(tx: &mut Tx) -> Result<Totals, Error> {
    sql(&TOTALS)
        .bind(tx.tenant())
        .required(tx, |row| {
            Ok(Totals {
                documents: row.unsigned("n")?,
                bytes: row.unsigned("bytes")?,
                chunks: row.unsigned("chunks")?,
                indexed_at: row.get("indexed_at")?,
            })
        })
        .await
}

/// Puts another text in its place. What the old one said is found until the new one is indexed.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Conflict`] as in [`create`].
pub async fn replace(
    tx: &mut Tx,
    id: DocumentId,
    new: &NewDocument<'_>,
    now: DateTime<Utc>,
) -> Result<Document, Error> {
    let old = get(tx, id).await?;
    room_for(tx, new, old.bytes).await?;
    let replaced = sql(&REPLACE)
        .bind(tx.tenant())
        .bind(id)
        .bind(new.collection)
        .bind(new.title)
        .bind(new.source_url)
        .bind(new.hash())
        .bind(new.text)
        .bind(new.text.len() as u64)
        .bind(now)
        .required(tx, document)
        .await?;
    if replaced.content_hash != old.content_hash {
        enqueue(tx, &replaced, now).await?;
    }
    Ok(replaced)
}

/// Has it indexed once more: after a failure, or by another embedder.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn reindex(tx: &mut Tx, id: DocumentId, now: DateTime<Utc>) -> Result<Document, Error> {
    let pending = sql(&REINDEX).bind(tx.tenant()).bind(id).required(tx, document).await?;
    enqueue(tx, &pending, now).await?;
    Ok(pending)
}

/// Forgets it, and at once everything that is found of it.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn delete(tx: &mut Tx, id: DocumentId) -> Result<(), Error> {
    document_chunks::remove(tx, id).await?;
    let deleted = sql(&DELETE).bind(tx.tenant()).bind(id).run(tx).await?;
    if deleted == 0 { Err(Error::NotFound) } else { Ok(()) }
}

/// Replaces what is found of it. False when it is gone or has another text by now: then nothing has changed.
///
/// # Errors
/// When the database fails.
pub async fn indexed(tx: &mut Tx, id: DocumentId, done: &Indexed<'_>, now: DateTime<Utc>) -> Result<bool, Error> {
    let state = if done.error.is_some() { DocumentState::Pending } else { DocumentState::Ready };
    let changed = sql(&INDEXED)
        .bind(tx.tenant())
        .bind(id)
        .bind(done.content_hash)
        .bind(state)
        .bind(done.error.map(cut))
        .bind(done.chunks.len() as u64)
        .bind(done.embedder.map(str::to_owned))
        .bind(now)
        .run(tx)
        .await?;
    if changed == 0 {
        return Ok(false);
    }
    document_chunks::remove(tx, id).await?;
    for (position, chunk) in (0_u32..).zip(done.chunks) {
        document_chunks::add(tx, id, position, chunk, done.embedder).await?;
    }
    Ok(true)
}

/// Why an attempt to index it failed; it is tried again.
///
/// # Errors
/// When the database fails.
pub async fn note_error(tx: &mut Tx, id: DocumentId, content_hash: [u8; 32], error: &str) -> Result<(), Error> {
    sql(&NOTE_ERROR).bind(tx.tenant()).bind(id).bind(content_hash).bind(cut(error)).run(tx).await.map(|_| ())
}

/// No further attempt is made. What was indexed before is still found.
///
/// # Errors
/// When the database fails.
pub async fn not_indexed(tx: &mut Tx, id: DocumentId) -> Result<(), Error> {
    sql(&NOT_INDEXED).bind(tx.tenant()).bind(id).run(tx).await.map(|_| ())
}

fn cut(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}
