"""RunConfig from a file: overrides, paths, origins, and errors in the words of the file."""

import json
from pathlib import Path

import pytest

from ttsrl.config.load import config_hash, dump_run, load_run, origin
from ttsrl.config.schema import RunConfig
from ttsrl.errors import BadInput

RUN = {
    "name": "r",
    "model": "policy",
    "codec": "codec",
    "data": {"texts": "texts.jsonl"},
    "train": {"steps": 3},
    "reward": {"whisper": {"model": "openai/whisper-tiny"}},
    "eval": {"judges": [{"name": "j", "type": "ctc", "model": "judge"}]},
}


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    folder = tmp_path / "with space"
    for name in ("policy", "judge"):
        (folder / name).mkdir(parents=True)
    (folder / "texts.jsonl").write_text('{"text": "hello"}\n')
    (folder / "run.json").write_text(json.dumps(RUN))
    return folder / "run.json"


def test_paths_beside_the_file_become_absolute_and_ids_stay(
    run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = load_run(run_file)
    assert run.model == str(run_file.parent / "policy")
    assert run.data.texts == str(run_file.parent / "texts.jsonl")
    assert run.eval.judges[0].model == str(run_file.parent / "judge")
    assert run.codec == "codec"
    assert run.reward.whisper is not None
    assert run.reward.whisper.model == "openai/whisper-tiny"
    assert run.storage == str(tmp_path / "storage")
    assert load_run(run_file, ["storage=s3://b/p"]).storage == "s3://b/p"
    (run_file.parent / "voices").mkdir()
    speaker = 'reward.components=[{"type": "speaker", "model": "hub/id", "voices": "voices"}]'
    component = load_run(run_file, [speaker]).reward.components[0].model_dump()
    assert component["voices"] == str(run_file.parent / "voices")
    assert component["model"] == "hub/id"


def test_the_links_of_a_mounted_secret_are_kept(run_file: Path, tmp_path: Path) -> None:
    """Each pod has its own folder behind them, and another one after each renewal."""
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "token").write_text(version)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "token").symlink_to("..data/token")
    token = load_run(run_file, [f"reward.token_file={tmp_path}/token"]).reward.token_file
    (tmp_path / "..data").unlink()
    (tmp_path / "..data").symlink_to("..2")
    assert Path(token or "").read_text() == "..2"


def test_a_path_given_as_override_is_meant_from_the_working_directory_first(
    run_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy").mkdir()
    assert load_run(run_file, ["model=policy"]).model == str(tmp_path / "policy")
    assert load_run(run_file, ["model=judge"]).model == str(run_file.parent / "judge")


def test_overrides(run_file: Path) -> None:
    run = load_run(
        run_file,
        [
            "train.steps=7",
            "rollout.engine=torch",
            "train.adam_betas=[0.9, 0.95]",
            "eval.judges[0].name=other",
            "verl.trainer.balance_batch=false",
        ],
    )
    assert run.train.steps == 7
    assert run.rollout.engine == "torch"
    assert run.train.adam_betas == [0.9, 0.95]
    assert run.eval.judges[0].name == "other"
    assert run.verl == {"trainer.balance_batch": False}


def test_the_written_run_reads_back_equal_and_its_hash_follows_its_values(
    run_file: Path, tmp_path: Path
) -> None:
    run = load_run(run_file)
    again = tmp_path / "again.json"
    again.write_text(dump_run(run))
    assert load_run(again) == run
    assert config_hash(load_run(again)) == config_hash(run)
    assert config_hash(load_run(run_file, ["seed=9"])) != config_hash(run)


def test_every_value_tells_where_it_came_from(run_file: Path) -> None:
    overrides = ["train.nodes=1", "rollout={}"]
    assert origin(run_file, overrides, "train.steps") == "file"
    assert origin(run_file, overrides, "train.nodes") == "--set"
    assert origin(run_file, overrides, "rollout.top_p") == "--set"
    assert origin(run_file, overrides, "eval.judges[0].name") == "file"
    assert origin(run_file, overrides, "eval.judges[0].used_in_reward") == "default"
    assert origin(run_file, overrides, "reward.url") == "default"
    with pytest.raises(BadInput, match="did you mean 'steps'"):
        origin(run_file, [], "train.step")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("train.stepss=3", ["train.stepss: no such key", "did you mean 'steps'?"]),
        ("reward.whisper.window=full", ["reward.whisper.window: no such key; known: model"]),
        (
            'eval.quality=[{"type": "dnsmos", "name": "mos"}]',
            [
                "eval.quality[0].name: no such key; known: type, used_in_reward",
                "; 'name' stands at the top of the file, beside 'eval'",
            ],
        ),
        (
            'eval.judges=[{"name": "j", "type": "ctc", "model": "m", "language_model": "x.arpa"}]',
            ["judge 'j' is of type 'ctc'", "leave language_model = 'x.arpa' out"],
        ),
        ("train.seed=3", ["train.seed: no such key", "'seed' stands at the top of the file"]),
        ("group_size=3", ["group_size: no such key", "did you mean 'rollout.group_size'?"]),
        ("rollout.engine=vlm", ['rollout.engine = "vlm"', "did you mean 'vllm'?"]),
        ("train.steps=many", ['train.steps = "many"', "valid integer", "Number of GRPO updates"]),
        ("train.steps=0", ["train.steps = 0", "greater than or equal to 1"]),
        ("train.learning_rate=NaN", ["train.learning_rate = NaN", "finite"]),
        ("train={}", ["train.steps is missing", "Number of GRPO updates"]),
        ("reward.components=[]", ["reward.components = []", "at least 1"]),
        (
            'reward.components=[{"type": "cerr"}]',
            ['reward.components[0].type = "cerr"', "did you mean 'cer'?"],
        ),
        (
            'reward.components=[{"type": "cer", "wieght": 1}]',
            ["reward.components[0].wieght: no such key", "did you mean 'weight'?"],
        ),
        ('reward.components=[{"weight": 1}]', ["reward.components[0]", "lacks the key 'type'"]),
        ("reward.components[0].weight=1", ["--set", "set the whole list"]),
        (
            'reward.components=[{"type": "cer"}, {"type": "cer", "beta": 1}]',
            ["reward: the component 'cer' stands twice"],
        ),
        ("eval.judges[3].name=x", ["--set", "no '3'", "check the key"]),
        ("seed.x=1", ['seed = {"x": 1}', "valid integer"]),
        (
            "eval.judges[0].used_in_reward=true",
            ["eval: every judge gave the reward, 'j'", "independent judge"],
        ),
        ("train.updates_per_step=3", ["prompts_per_step = 8", "not divisible"]),
        ("verl.a=[[1]]", ["verl.a", "valid string"]),
        ('guards.audit_allows=["click"]', ["no 'click'", "did you mean 'clicks'?"]),
        ("guards.audit=never", ['guards.audit = "never"', "refuse"]),
        ("name=Upper Case", ['name = "Upper Case"']),
        ("train.steps", ["no '='", "--set train.steps=100"]),
    ],
)
def test_a_wrong_key_or_value_is_named_with_its_path_and_the_way_out(
    run_file: Path, override: str, said: list[str]
) -> None:
    with pytest.raises(BadInput) as error:
        load_run(run_file, [override])
    for words in said:
        assert words in str(error.value)
    assert "pydantic" not in str(error.value).lower()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, ["no such file", "examples/tiny/run.json"]),
        (b"", [":1:1", "not JSON"]),
        (b'{"name": "r",\n "seed": }', [":2:10", "not JSON"]),
        (b'{"name": "\xff"}', ["not UTF-8", "0xff"]),
        (b"[1]", ["[1]", "JSON object"]),
        (b'{"seed": 1, "seed": 2}', ["'seed' stands twice"]),
    ],
)
def test_an_unreadable_file_is_named_with_its_place(
    tmp_path: Path, content: bytes | None, said: list[str]
) -> None:
    path = tmp_path / "run.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput) as error:
        load_run(path)
    for words in [str(path), *said]:
        assert words in str(error.value)


def test_a_folder_is_no_run_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="Is a directory"):
        load_run(tmp_path)


def test_the_json_schema_documents_every_field() -> None:
    schema = RunConfig.model_json_schema()
    assert (
        "Number of GRPO updates"
        in schema["$defs"]["TrainConfig"]["properties"]["steps"]["description"]
    )
