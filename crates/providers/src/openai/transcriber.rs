//! Transcription of whole utterances: keeps what the caller says and sends it when its text is wanted.
//!
//! Works with OpenAI, Groq, speaches (formerly faster-whisper-server) and others that offer `audio/transcriptions`.

use super::Endpoint;
use crate::http::{Http, transport_error};
use crate::transcriber::{
    AudioWanted, INPUT_QUEUE, OUTPUT_QUEUE, Transcriber, TranscriberInput, TranscriberOptions, TranscriberOutput,
    TranscriberStream,
};
use crate::{BoxFuture, Error, ErrorKind};
use secrecy::SecretString;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use wire::openai::{MultipartBody, TRANSCRIPTION_MS_MIN, TranscriptionRequest, language_code, transcript};

/// Name of this provider.
const NAME: &str = "openai";
/// Sound kept of one utterance, in seconds: 2 MB at 16 kHz. Who speaks longer without a pause is heard from here on
/// back.
pub const UTTERANCE_S_MAX: usize = 60;
/// Longest wait for a text, from the request on: the caller waits too.
pub const TRANSCRIPTION_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest answer that is read: a minute of speech is about a thousand characters, and some servers add every word's
/// times.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// How to reach a transcription service and ask it.
#[derive(Clone, Debug)]
pub struct TranscriptionSettings {
    /// Address up to and with `/v1`; a slash at its end does not matter.
    pub base_url: String,
    /// The key; `None` for servers without.
    pub key: Option<SecretString>,
    /// Model name.
    pub model: String,
    /// Tell the service the language of the call; it finds out by itself otherwise, which takes longer and errs.
    pub send_language: bool,
    /// Words and names that may come, in the language of the calls. Empty = not sent.
    pub prompt: String,
    /// From the request to the text.
    pub timeout: Duration,
}

impl TranscriptionSettings {
    /// OpenAI's own service with its usual settings.
    #[must_use]
    pub fn new(model: impl Into<String>, key: Option<SecretString>) -> Self {
        Self {
            base_url: super::BASE_URL.to_owned(),
            key,
            model: model.into(),
            send_language: true,
            prompt: String::new(),
            timeout: TRANSCRIPTION_TIMEOUT,
        }
    }
}

/// A transcription service for whole utterances.
#[derive(Clone, Debug)]
pub struct OpenAiTranscriber {
    endpoint: Endpoint,
    settings: TranscriptionSettings,
}

impl OpenAiTranscriber {
    /// A transcriber; nothing is sent yet.
    #[must_use]
    pub fn new(http: Http, settings: TranscriptionSettings) -> Self {
        let endpoint = Endpoint { name: NAME, http, base_url: settings.base_url.clone(), key: settings.key.clone() };
        Self { endpoint, settings }
    }

    /// Whether service and key work; leaves an open connection behind.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        self.endpoint.check().await
    }

    /// The text of one utterance, outside of a call; empty when it is too short to be asked for.
    ///
    /// # Errors
    /// What stands in the way; `TimedOut` after [`TranscriptionSettings::timeout`].
    pub async fn transcribe(&self, pcm: &[i16], options: &TranscriberOptions) -> Result<String, Error> {
        if pcm.len() * 1_000 < options.sample_rate_hz as usize * TRANSCRIPTION_MS_MIN {
            return Ok(String::new());
        }
        let language = if self.settings.send_language { language_code(&options.language) } else { String::new() };
        let TranscriptionSettings { model, prompt, timeout, .. } = &self.settings;
        let sample_rate_hz = options.sample_rate_hz;
        let request = TranscriptionRequest { model, language: &language, prompt, pcm, sample_rate_hz };
        let answer = tokio::time::timeout(*timeout, self.ask(request.body()));
        let body = answer.await.map_err(|_| Error::new(ErrorKind::TimedOut, NAME, "no text in time"))??;
        transcript(&body).map_err(|e| Error::new(ErrorKind::Protocol, NAME, "the answer is no transcript").caused_by(e))
    }

    async fn ask(&self, body: MultipartBody) -> Result<Vec<u8>, Error> {
        let MultipartBody { content_type, bytes } = body;
        let mut response = self.endpoint.post_as("audio/transcriptions", &content_type, bytes).await?;
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| transport_error(NAME, e))? {
            if answer.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Error::new(ErrorKind::Protocol, NAME, "the answer is too long for a transcript"));
            }
            answer.extend_from_slice(&piece);
        }
        Ok(answer)
    }
}

impl Transcriber for OpenAiTranscriber {
    fn name(&self) -> &'static str {
        NAME
    }

    fn audio_wanted(&self) -> AudioWanted {
        AudioWanted::SpeechOnly
    }

    fn open(&self, options: TranscriberOptions) -> BoxFuture<'_, Result<TranscriberStream, Error>> {
        Box::pin(async move {
            if options.sample_rate_hz == 0 {
                return Err(Error::new(ErrorKind::Rejected, NAME, "a sample rate of 0 Hz"));
            }
            let (input, requests) = mpsc::channel(INPUT_QUEUE);
            let (results, output) = mpsc::channel(OUTPUT_QUEUE);
            let session = Session { transcriber: self.clone(), options, heard: VecDeque::new(), asked: None, results };
            tokio::spawn(session.run(requests));
            Ok(TranscriberStream { input, output })
        })
    }
}

/// The text of the utterance somebody asked for. Dropping it ends the request.
struct Asked {
    work: u64,
    text: BoxFuture<'static, Result<String, Error>>,
}

/// One call.
struct Session {
    transcriber: OpenAiTranscriber,
    options: TranscriberOptions,
    heard: VecDeque<i16>,
    /// Only the newest: the audio of an older one is part of it.
    asked: Option<Asked>,
    results: mpsc::Sender<TranscriberOutput>,
}

impl Session {
    async fn run(mut self, mut requests: mpsc::Receiver<TranscriberInput>) {
        loop {
            let output = tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.take(request),
                    // The call is over; what it still asked for nobody reads.
                    None => return,
                },
                output = answer(&mut self.asked) => {
                    self.asked = None;
                    Some(output)
                }
                () = self.results.closed() => return,
            };
            if let Some(output) = output
                && self.results.send(output).await.is_err()
            {
                return;
            }
        }
    }

    /// What the call says; gives the end of a request that this one replaces.
    fn take(&mut self, request: TranscriberInput) -> Option<TranscriberOutput> {
        match request {
            TranscriberInput::Audio(pcm) | TranscriberInput::Silence(pcm) => {
                self.heard.extend(pcm.iter());
                let most = (self.options.sample_rate_hz as usize).saturating_mul(UTTERANCE_S_MAX);
                self.heard.drain(..self.heard.len().saturating_sub(most));
                None
            }
            TranscriberInput::Finalize { work } => {
                let (transcriber, options) = (self.transcriber.clone(), self.options.clone());
                let pcm = Vec::from(self.heard.clone());
                let text = Box::pin(async move { transcriber.transcribe(&pcm, &options).await });
                let older = self.asked.replace(Asked { work, text })?;
                let error = Error::new(ErrorKind::Overloaded, NAME, "a newer request took its place");
                Some(TranscriberOutput::Failed { work: Some(older.work), error })
            }
            TranscriberInput::Discard => {
                self.heard.clear();
                self.asked = None;
                None
            }
        }
    }
}

/// The answer to what was asked; never when nothing was.
async fn answer(asked: &mut Option<Asked>) -> TranscriberOutput {
    let Some(asked) = asked else { return std::future::pending().await };
    match asked.text.as_mut().await {
        Ok(text) => TranscriberOutput::Final { work: asked.work, text },
        Err(error) => TranscriberOutput::Failed { work: Some(asked.work), error },
    }
}
