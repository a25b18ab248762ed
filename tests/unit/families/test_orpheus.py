"""Orpheus and Maya1: prompts to the id, frames in the mask and in the gate, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from transformers import PreTrainedTokenizerBase

from support.family_tokenizers import llama_3_tokenizer
from support.orpheus_files import orpheus_tokenizer, write_orpheus, write_snac
from support.outcomes import gated
from ttsrl.config.load import load_run
from ttsrl.data.told import check_prompts
from ttsrl.errors import BadInput
from ttsrl.families.conditions import Conditions, VoiceReference
from ttsrl.families.frames import example_tokens, misplaced
from ttsrl.families.registry import family_class, load_family
from ttsrl.models.hub import load_model
from ttsrl.reward.gates import check_tokens
from ttsrl.sampler.sampler import Sampler
from ttsrl.serving.pipeline import Pipeline
from ttsrl.synthesis.say import say
from ttsrl.wire import Gated, Ok, Utterance

CODES = 28_672


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    return orpheus_tokenizer()


@pytest.mark.parametrize("name", ["orpheus", "maya1"])
@pytest.mark.parametrize("text", ["Hello, world!", "  two  spaces ", "déjà vu\nnew line"])
def test_prompts_are_those_of_its_package(
    tokenizer: PreTrainedTokenizerBase, name: str, text: str
) -> None:
    # `_format_prompt` of orpheus_tts: the text as its tokenizer begins it, between five ids
    expected = [128_259, *tokenizer(text)["input_ids"], 128_009, 128_260, 128_261, 128_257]
    assert expected[1] == 128_000
    family = load_family(name, tokenizer, CODES)
    assert family.prompt_ids(text) == expected
    assert family.prompt_ids(text, [5, 4096])[-2:] == [128_271, 128_266 + 4096]


def test_a_voice_is_told_as_its_authors_tell_it(tokenizer: PreTrainedTokenizerBase) -> None:
    told = {
        # `_format_prompt` of orpheus_tts; `build_prompt` of maya1's card
        "orpheus": ("tara", "tara: Hello."),
        "maya1": ("A calm man.", '<description="A calm man."> Hello.'),
    }
    for name, (style, request) in told.items():
        family = load_family(name, tokenizer, CODES)
        ids = tokenizer(request)["input_ids"]
        assert family.prompt_ids("Hello.", conditions=Conditions(style=style))[1:-4] == ids
        reference = VoiceReference("Hi.", [4096 * k for k in range(7)])
        with pytest.raises(BadInput, match="not taught to continue a recording"):
            family.prompt_ids("Hello.", conditions=Conditions(reference=reference))


def test_ids_are_those_of_its_decoder(tokenizer: PreTrainedTokenizerBase) -> None:
    family = load_family("orpheus", tokenizer, CODES)
    # N - 10 - (place * 4096) of <custom_token_N>, which is the id 128256 + N
    assert family.speech_token_ids == range(128_266, 156_938)
    assert family.stop_token_ids == [128_258]
    places = family.allowed_in_frame
    assert [len(ids) for ids in places] == [4097, *[4096] * 6]
    assert [ids[-1] for ids in places] == [128_265 + 4096 * (k + 1) for k in range(7)]
    assert 128_258 in places[0]
    assert family.speech_tokens([128_266, 128_266 + 4096, 3, 128_258]) == ([0, 4096, -1], True)


def test_tokenizers_that_break_the_frame_are_refused(tokenizer: PreTrainedTokenizerBase) -> None:
    short = orpheus_tokenizer(28_000)
    with pytest.raises(BadInput, match=r"<custom_token_10> to <custom_token_28681>, 4096 for each"):
        load_family("orpheus", short)
    bare = llama_3_tokenizer()
    bare.add_tokens([f"<custom_token_{n}>" for n in range(6)])
    with pytest.raises(BadInput, match="no speech tokens <custom_token_10>, <custom_token_11>"):
        load_family("orpheus", bare)
    with pytest.raises(BadInput, match=r"28672 speech tokens .* 65536"):
        load_family("orpheus", tokenizer, 65_536)


def test_texts_with_its_tags_are_taken_and_with_its_markers_are_not() -> None:
    assert family_class("orpheus").spoken("Well <laugh> yes.") == "Well yes."
    assert family_class("maya1").messages("<whisper> Yes.")[0]["content"] == "<whisper> Yes."
    with pytest.raises(BadInput, match=r"<whisper>.*Orpheus does not understand"):
        family_class("orpheus").messages("<whisper> Yes.")
    for marker in ("<custom_token_2>", "<|eot_id|>"):
        with pytest.raises(BadInput, match="the text contains"):
            family_class("orpheus").messages(f"Yes {marker}.")


def test_speech_that_a_prompt_begins_with_is_in_its_places(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    run = load_run("examples/tiny/run.json", ["family=orpheus", "rollout.max_prompt_tokens=20"])
    family = load_family("orpheus", tokenizer, CODES)
    right = {"text": "Hello.", "speech_prefix": [5, 4096]}
    check_prompts(run, [right], [], family)
    with pytest.raises(BadInput, match="has tokens out of their places: token 1 is 5, and place 1"):
        check_prompts(run, [right | {"speech_prefix": [5, 5]}], [], family)


def test_gates_know_the_places() -> None:
    frame = [4096 * k + 9 for k in range(7)]
    assert check_tokens(frame * 2, True, CODES, 7) is None
    swapped = check_tokens([*frame, *frame[1:], frame[0]], True, CODES, 7)
    assert swapped is not None
    assert swapped.reason == "token_outside_codebook"
    assert "token 7 is 4105, and place 0 of a frame of 7 takes [0, 4096)" in swapped.detail
    within = check_tokens(frame[:3], True, CODES, 7)
    assert within is not None
    assert "after 3 of 7 tokens" in within.detail
    cut = check_tokens(frame[:3], False, CODES, 7)
    assert cut is not None
    assert cut.reason == "no_end_token"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_orpheus(tmp_path_factory.mktemp("orpheus"))


@pytest.mark.parametrize("whole_vocabulary", [True, False])
def test_only_tokens_in_their_places_are_drawn(
    policy: Path, tokenizer: PreTrainedTokenizerBase, whole_vocabulary: bool
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = load_model(AutoModelForCausalLM, policy)
    family = load_family("orpheus", tokenizer, CODES)
    sampler = Sampler(
        model, family.allowed_in_frame, family.stop_token_ids, whole_vocabulary=whole_vocabulary
    )
    prompts = [family.prompt_ids(text) for text in ("Hello.", "Good bye.")]
    drawn = sampler.sample(prompts, 2, temperature=1.5, max_tokens=17, seed=3)
    for n, response in enumerate(drawn):
        tokens, _ = family.speech_tokens(response.token_ids)
        assert len(tokens) == 17
        assert misplaced(tokens, CODES, 7) is None
        with torch.no_grad():
            ids = torch.tensor([[*prompts[n // 2], *response.token_ids]])
            logits = model(ids).logits[0, -18:-1] / 1.5
        if not whole_vocabulary:
            only = torch.full_like(logits, -torch.inf)
            for t in range(17):
                allowed = family.allowed_in_frame[t % 7]
                only[t, allowed] = logits[t, allowed]
            logits = only
        expected = logits.log_softmax(-1).gather(1, torch.tensor(response.token_ids)[:, None])
        torch.testing.assert_close(
            torch.tensor(response.log_probs), expected[:, 0], atol=1e-4, rtol=0
        )


def test_speech_ends_between_two_frames(policy: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = load_model(AutoModelForCausalLM, policy)
    family = load_family("orpheus", tokenizer, CODES)
    stop = family.stop_token_ids[0]
    weights = model.get_input_embeddings().weight
    hidden = model.model(torch.tensor([family.prompt_ids("Hello.")])).last_hidden_state[0, -1]
    with torch.no_grad():  # as likely as all codes of a place together
        weights[stop] = hidden * 12 / hidden.square().sum()
    sampler = Sampler(model, family.allowed_in_frame, [stop])
    drawn = sampler.sample(
        [family.prompt_ids("Hello.")], 64, temperature=1.0, max_tokens=29, seed=0
    )
    lengths = {len(response.token_ids) - 1 for response in drawn if response.finished}
    assert lengths
    assert all(length % 7 == 0 for length in lengths)


def test_orpheus_says_a_text(policy: Path, tmp_path: Path) -> None:
    codec = write_snac(tmp_path / "codec")
    out = tmp_path / "said.wav"
    said = say("Hello.", str(policy), out, family="orpheus", codec=str(codec), max_speech_tokens=24)
    samples, rate_hz = soundfile.read(out)
    assert rate_hz == 24_000
    assert said.tokens == 24
    assert len(samples) == 3 * 2048
    assert np.isfinite(samples).all()


def test_rewards_of_what_it_says(tmp_path: Path) -> None:
    codec = write_snac(tmp_path / "codec")
    run = load_run("examples/tiny/run.json", ["family=orpheus", f"codec={codec}"])
    pipeline = Pipeline(run)
    pipeline.self_test()
    tokens = example_tokens(90, CODES, 7)
    spoken, swapped = pipeline.score(
        [Utterance(text="red birds", speech_tokens=t) for t in (tokens, [*tokens[1:], tokens[0]])]
    )
    assert isinstance(spoken, Ok | Gated)
    assert not (isinstance(spoken, Gated) and spoken.reason == "token_outside_codebook")
    assert gated(swapped).reason == "token_outside_codebook"
