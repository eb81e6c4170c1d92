//! Vectors of texts, for searching documents by what they mean.

mod openai;

pub use openai::{
    EMBEDDING_TIMEOUT, EmbeddingSettings, INPUTS_MAX, OpenAiEmbedder, TEXT_BYTES_MAX, VECTOR_NUMBERS_MAX,
};
