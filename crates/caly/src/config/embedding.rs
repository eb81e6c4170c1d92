//! Settings of the model that makes vectors of documents.

use super::Reader;
use secrecy::SecretString;

/// What makes vectors of documents, for searching them by what they mean.
#[derive(Clone, Debug)]
pub(crate) struct EmbeddingModel {
    /// Address of an OpenAI-compatible service, up to and with `/v1`.
    pub url: String,
    /// Its model.
    pub model: String,
    /// Its key, if it wants one.
    pub key: Option<SecretString>,
}

impl Reader<'_> {
    /// None: documents are searched by their words only.
    pub(super) fn embedding(&mut self) -> Option<EmbeddingModel> {
        let (url, model) = (self.url("CALY_EMBEDDING_URL"), self.text("CALY_EMBEDDING_MODEL"));
        let key = self.text("CALY_EMBEDDING_KEY").map(SecretString::from);
        match (url, model, key) {
            (Some(url), Some(model), key) => Some(EmbeddingModel { url, model, key }),
            (None, None, None) => None,
            (_, _, _) => {
                let missing =
                    "CALY_EMBEDDING_URL and CALY_EMBEDDING_MODEL belong together, with or without CALY_EMBEDDING_KEY";
                self.problems.push(missing.to_owned());
                None
            }
        }
    }
}
