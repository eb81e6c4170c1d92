"""What is fetched: package, version, file, SHA-256. A file with another digest is never installed."""

from typing import NamedTuple


class File(NamedTuple):
    """One file of a package."""

    inside: str  # path in the package
    to: str  # path in the models folder; for a converted file the folder it goes to is that of its target
    sha256: str


class Package(NamedTuple):
    """One package of the Python index."""

    name: str
    version: str
    megabytes: float
    licence: str
    what: str
    licence_file: str
    files: tuple[File, ...]


PACKAGES = (
    Package(
        "silero-vad", "6.2.3", 11.3, "MIT", "voice activity (Silero VAD 6.2)",
        "silero_vad-6.2.3.dist-info/licenses/LICENSE",
        (
            File("silero_vad/data/silero_vad_op18_ifless.onnx", "silero/silero_vad_op18_ifless.onnx",
                 "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28"),
        ),
    ),
    Package(
        "pipecat-ai", "1.14.0", 12.1, "BSD-2-Clause", "end of turn (smart-turn 3.2)",
        "pipecat_ai-1.14.0.dist-info/licenses/LICENSE",
        (
            File("pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx", "smart-turn/smart-turn-v3.2-cpu.onnx",
                 "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f"),
        ),
    ),
    Package(
        "hibari-tts", "0.2.1", 14.0, "Apache-2.0", "speech synthesis (hibari, voice heart)",
        "hibari_tts-0.2.1.dist-info/licenses/LICENSE",
        (
            File("hibari/assets/hibari.onnx", "hibari/hibari.onnx",
                 "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8"),
            File("hibari/assets/oov.onnx", "hibari/oov.onnx",
                 "d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76"),
            File("hibari/assets/oov.json", "hibari/oov.json",
                 "b462e6e5dbdf0e7346c732385d0dd844f612f1770871441c56932bff4ca75d8c"),
            File("hibari/assets/vocab.json", "hibari/vocab.json",
                 "70abefbe8a1c8865e43e0a43bbdc25b91a33e4aa053479d443ccf23e20a59e5d"),
        ),
    ),
    Package(
        "moonshine-voice", "0.1.0", 56.4, "MIT", "speech recognition (Moonshine tiny, English)",
        "moonshine_voice-0.1.0.dist-info/licenses/LICENSE",
        (
            File("moonshine_voice/assets/tiny-en/tokenizer.bin", "moonshine/tokenizer.bin",
                 "6884b35fd6377d4c4d32336a0bc152f36b64d1e45b6503683cdc238250a8472d"),
        ),
    ),
)

# Moonshine comes in ONNX Runtime's own format and is converted to plain ONNX: (from, to the file, digest of the result).
CONVERTED_FROM = "moonshine-voice"
CONVERTED = (
    (
        File("moonshine_voice/assets/tiny-en/encoder_model.ort", "encoder_model.ort",
             "94e90a4654fc45cdfedb77c4c08e1739f48862998e58fada384b25118134f221"),
        File("", "moonshine/encoder_model.onnx",
             "90ab03b4ff13494348280e66a21db7299a88b48f685d05fd4fd6727c005ea059"),
    ),
    (
        File("moonshine_voice/assets/tiny-en/decoder_model_merged.ort", "decoder_model_merged.ort",
             "cf524c4862d36e9e5ab032eddc73637efd822d70e868ac575cf1a46e1e4708a0"),
        File("", "moonshine/decoder_model_merged.onnx",
             "a4cdbd7b68c990847d62cb4f73c76511810142de5932b759ec662e9edb7b46c6"),
    ),
)

# The wheels are asked for as if for this machine, whatever machine this is: only weights are taken out of them.
WHEEL_FOR = ("--python-version", "3.12", "--platform", "manylinux_2_34_x86_64", "--only-binary=:all:")


def converters(python: tuple[int, int]) -> tuple[str, ...]:
    """The packages that run the conversion, for a Python version. Their results are the same, byte for byte."""
    if python <= (3, 13):
        return ("onnxruntime==1.23.2", "onnx==1.19.1")
    return ("onnxruntime==1.31.1", "onnx==1.23.2")


# Real recorded speech for the scripted caller.
VOICE_PACKAGE = "asterisk-core-sounds-en-wav"
VOICE_TEXT_PACKAGE = "asterisk-core-sounds-en"
VOICE_INSTALLED = "/usr/share/asterisk/sounds/en_US_f_Allison"
VOICE_TEXT_INSTALLED = "/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz"
VOICE_LICENCE = "CC-BY-SA-3.0 (voice: Allison Smith; recordings: Digium)"
