//! What a call can use on this node: who listens, thinks and speaks for it, chosen by its agent, each with its fallbacks.

use model::{
    AgentConfig, Brain, LanguageModelConfig, ModelChoice, SpeakerChoice, SpeechModelConfig, TenantId, TranscriberChoice,
};
use providers::chain::{ChainModel, ChainSpeaker, ChainTranscriber, Guard, Link, Meter};
use providers::http::Http;
use providers::keys::Keys;
use providers::language_model::LanguageModel;
use providers::local::{BuiltinVoiceActivity, InferencePool};
use providers::models::Models;
use providers::recall::Recall;
use providers::resilience::Targets;
use providers::speaker::Speaker;
use providers::tools::ToolClients;
use providers::transcriber::Transcriber;
use providers::turn::TurnDetector;
use providers::{BoxFuture, Error, ErrorKind};
use secrecy::SecretString;
use std::fmt::Display;
use std::sync::Arc;
use tokio::time::Instant;

/// The name of what runs on this machine.
pub const BUILTIN: &str = "builtin";

/// A model that hears and speaks by itself, in its three parts: they share one connection.
pub struct SpeechParts {
    /// What it hears.
    pub transcriber: Arc<dyn Transcriber>,
    /// What it answers.
    pub model: Arc<dyn LanguageModel>,
    /// What else it is to say.
    pub speaker: Arc<dyn Speaker>,
}

/// Makes a model that hears and speaks by itself, for one call at this rate of samples.
pub type SpeechModelFactory =
    Arc<dyn Fn(&Http, &SpeechModelConfig, Option<SecretString>, u32) -> Result<SpeechParts, Error> + Send + Sync>;

/// Makes clients of vendors for an organisation, or finds them made: each with its breaker's name. `Rejected` or
/// `NotInstalled`: not on this node, with this configuration.
pub trait Clients: Send + Sync {
    /// Speech to text; never [`BUILTIN`].
    fn transcriber<'a>(
        &'a self,
        tenant: TenantId,
        choice: &'a TranscriberChoice,
    ) -> BoxFuture<'a, Result<Link<dyn Transcriber>, Error>>;

    /// Text to speech; never [`BUILTIN`].
    fn speaker<'a>(
        &'a self,
        tenant: TenantId,
        choice: &'a SpeakerChoice,
    ) -> BoxFuture<'a, Result<Link<dyn Speaker>, Error>>;

    /// A language model.
    fn language_model<'a>(
        &'a self,
        tenant: TenantId,
        choice: &'a ModelChoice,
    ) -> BoxFuture<'a, Result<Link<dyn LanguageModel>, Error>>;

    /// A model that hears and speaks by itself, for one call.
    fn speech_model<'a>(
        &'a self,
        tenant: TenantId,
        config: &'a SpeechModelConfig,
        rate_hz: u32,
    ) -> BoxFuture<'a, Result<Link<SpeechParts>, Error>>;
}

/// Everything that can listen, judge, think and speak on this node.
#[derive(Clone)]
pub struct Services {
    /// Speech to text on this machine.
    pub transcriber: Option<Arc<dyn Transcriber>>,
    /// Text to speech on this machine.
    pub speaker: Option<Arc<dyn Speaker>>,
    /// End of turn from the sound.
    pub turn: Option<Arc<dyn TurnDetector>>,
    /// Voice activity on noisy lines.
    pub silero: Option<Arc<BuiltinVoiceActivity>>,
    /// The threads that the built-in models compute on.
    pub inference: InferencePool,
    /// Vendors.
    pub clients: Arc<dyn Clients>,
    /// Keys of organisations.
    pub keys: Arc<dyn Keys>,
    /// Language models outside of calls.
    pub models: Arc<dyn Models>,
    /// What is in organisations' documents.
    pub recall: Option<Arc<dyn Recall>>,
    /// Clients of tools.
    pub tools: ToolClients,
    /// Breakers.
    pub targets: Targets,
    /// The zero of the breakers' time.
    pub began: Instant,
}

/// What one call uses.
#[derive(Clone)]
pub(crate) struct Chosen {
    pub(crate) transcriber: Arc<dyn Transcriber>,
    pub(crate) speaker: Arc<dyn Speaker>,
    pub(crate) turn: Option<Arc<dyn TurnDetector>>,
    pub(crate) silero: Option<Arc<BuiltinVoiceActivity>>,
    pub(crate) thinker: Option<Arc<dyn LanguageModel>>,
    pub(crate) meter: Meter,
}

/// Work of the built-in models that begins later than this makes answers late that callers are waiting for: beyond it no
/// further call is taken on. An utterance computes for about 0.1 s, so two are waiting.
const BEHIND_MS: u64 = 250;

impl Services {
    /// The built-in models do not keep up with the calls that are on the line, and this agent would use them.
    pub(crate) fn is_behind(&self, agent: &AgentConfig) -> bool {
        let uses_them = match &agent.brain {
            Brain::SpeechModel(_) => false,
            Brain::Flow { .. } | Brain::LanguageModel(_) => {
                agent.speech.transcriber == BUILTIN || agent.speech.speaker == BUILTIN
            }
        };
        uses_them && self.inference.late_ms() > BEHIND_MS
    }

    /// The services of an agent, for one call. Who is not there is left out when somebody else is.
    ///
    /// # Errors
    /// When there is nobody for a part.
    pub(crate) async fn choose(&self, tenant: TenantId, agent: &AgentConfig, rate_hz: u32) -> Result<Chosen, Error> {
        let guard = Guard::new(self.targets.clone(), tenant, self.began);
        let meter = Meter::new();
        let (transcriber, speaker, thinker) = match &agent.brain {
            Brain::SpeechModel(config) => {
                let link = self.clients.speech_model(tenant, config, rate_hz).await?;
                let parts = parts(&link, &guard, &meter);
                (parts.transcriber, parts.speaker, Some(parts.model))
            }
            Brain::Flow { .. } => {
                let (transcriber, speaker) = self.speech(tenant, agent, &guard, &meter).await?;
                (transcriber, speaker, None)
            }
            Brain::LanguageModel(config) => {
                let (transcriber, speaker) = self.speech(tenant, agent, &guard, &meter).await?;
                (transcriber, speaker, Some(self.thinker(tenant, config, &guard, &meter).await?))
            }
        };
        let (turn, silero) = (self.turn.clone(), self.silero.clone());
        Ok(Chosen { transcriber, speaker, turn, silero, thinker, meter })
    }

    async fn speech(
        &self,
        tenant: TenantId,
        agent: &AgentConfig,
        guard: &Guard,
        meter: &Meter,
    ) -> Result<(Arc<dyn Transcriber>, Arc<dyn Speaker>), Error> {
        let mut links = Links::new("speech to text");
        for choice in agent.speech.transcribers() {
            let link = match (choice.name.as_str(), &self.transcriber) {
                (BUILTIN, Some(builtin)) => Ok(Link::new(Arc::clone(builtin), BUILTIN)),
                (BUILTIN, None) => Err(not_installed()),
                (_, _) => self.clients.transcriber(tenant, &choice).await,
            };
            links.add(&choice.name, link);
        }
        let (first, fallbacks) = links.done(|| {
            meter.note(|usage| {
                usage.counts.fallbacks_transcribing = usage.counts.fallbacks_transcribing.saturating_add(1)
            });
        })?;
        let transcriber = ChainTranscriber::new(first, fallbacks, guard.clone(), meter.clone());

        let mut links = Links::new("text to speech");
        for choice in agent.speech.speakers() {
            let link = match (choice.name.as_str(), &self.speaker) {
                (BUILTIN, Some(builtin)) => {
                    Ok(Link { voice: choice.voice.clone(), ..Link::new(Arc::clone(builtin), BUILTIN) })
                }
                (BUILTIN, None) => Err(not_installed()),
                (_, _) => self.clients.speaker(tenant, &choice).await,
            };
            links.add(&choice.name, link);
        }
        let (first, fallbacks) = links.done(|| {
            meter.note(|usage| usage.counts.fallbacks_speaking = usage.counts.fallbacks_speaking.saturating_add(1));
        })?;
        let speaker = ChainSpeaker::new(first, fallbacks, guard.clone(), meter.clone());
        Ok((Arc::new(transcriber), Arc::new(speaker)))
    }

    async fn thinker(
        &self,
        tenant: TenantId,
        config: &LanguageModelConfig,
        guard: &Guard,
        meter: &Meter,
    ) -> Result<Arc<dyn LanguageModel>, Error> {
        let first =
            ModelChoice { protocol: config.protocol, base_url: config.base_url.clone(), model: config.model.clone() };
        let mut links = Links::new("language model");
        for choice in std::iter::once(&first).chain(&config.fallbacks) {
            let link = self.clients.language_model(tenant, choice).await;
            links.add(&choice.model, link);
        }
        let (first, fallbacks) = links.done(|| {
            meter.note(|usage| usage.counts.fallbacks_thinking = usage.counts.fallbacks_thinking.saturating_add(1));
        })?;
        let hedge_after_ms = config.hedge_after_ms;
        Ok(Arc::new(ChainModel::new(first, fallbacks, hedge_after_ms, guard.clone(), meter.clone())))
    }
}

/// The three parts of a model that hears and speaks by itself: counted and watched as others are.
fn parts(link: &Link<SpeechParts>, guard: &Guard, meter: &Meter) -> SpeechParts {
    fn part<T: ?Sized>(link: &Link<SpeechParts>, provider: &Arc<T>) -> Link<T> {
        Link {
            provider: Arc::clone(provider),
            name: link.name.clone(),
            model: link.model.clone(),
            voice: link.voice.clone(),
            target: link.target,
        }
    }
    let SpeechParts { transcriber, model, speaker } = &*link.provider;
    let (guard, meter) = (|| guard.clone(), || meter.clone());
    SpeechParts {
        transcriber: Arc::new(ChainTranscriber::new(part(link, transcriber), Vec::new(), guard(), meter())),
        model: Arc::new(ChainModel::new(part(link, model), Vec::new(), 0, guard(), meter())),
        speaker: Arc::new(ChainSpeaker::new(part(link, speaker), Vec::new(), guard(), meter())),
    }
}

/// The providers of one kind that there are.
struct Links<T: ?Sized> {
    what: &'static str,
    there: Vec<Link<T>>,
    /// The chosen one is not among them.
    first_missing: bool,
    missing: Option<Error>,
}

impl<T: ?Sized> Links<T> {
    const fn new(what: &'static str) -> Self {
        Self { what, there: Vec::new(), first_missing: false, missing: None }
    }

    fn add(&mut self, name: &dyn Display, link: Result<Link<T>, Error>) {
        match link {
            Ok(link) => self.there.push(link),
            Err(error) => {
                tracing::warn!(what = self.what, %name, %error, "a provider is left out");
                self.first_missing = self.first_missing || self.there.is_empty();
                self.missing.get_or_insert(error);
            }
        }
    }

    /// The first and the others; `replaced` is told when the chosen one is not the first.
    fn done(self, replaced: impl FnOnce()) -> Result<(Link<T>, Vec<Link<T>>), Error> {
        let Self { what, there, first_missing, missing } = self;
        let mut there = there.into_iter();
        match there.next() {
            Some(first) => {
                if first_missing {
                    replaced();
                }
                Ok((first, there.collect()))
            }
            None => Err(missing.unwrap_or_else(|| Error::new(ErrorKind::NotInstalled, what, "none is named"))),
        }
    }
}

fn not_installed() -> Error {
    Error::new(ErrorKind::NotInstalled, BUILTIN, "its models are not on this machine; see `caly doctor`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(there: &[Option<&str>]) -> Links<str> {
        let mut links: Links<str> = Links::new("test");
        for name in there {
            let link = name.map(|name| Link::new(Arc::from(name), name));
            links.add(&"x", link.ok_or_else(not_installed));
        }
        links
    }

    #[test]
    fn who_is_not_there_is_left_out_and_counted_when_chosen() {
        for (there, want, counted) in [
            (&[Some("a"), Some("b")][..], Some(vec!["a", "b"]), false),
            (&[None, Some("b")], Some(vec!["b"]), true),
            (&[Some("a"), None, Some("c")], Some(vec!["a", "c"]), false),
            (&[None, None], None, false),
            (&[], None, false),
        ] {
            let mut told = false;
            let done = links(there).done(|| told = true);
            let names = done.as_ref().ok().map(|(first, others)| {
                std::iter::once(first).chain(others).map(|link| link.name.as_str()).collect::<Vec<_>>()
            });
            assert_eq!(names, want, "{there:?}");
            assert_eq!(told, counted, "{there:?}");
            if let Err(error) = done {
                assert_eq!(error.kind, ErrorKind::NotInstalled);
            }
        }
    }
}
