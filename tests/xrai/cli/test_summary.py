import json

from tests.xrai.cli.support import LITTLE, TINY, assert_one_sentence
from xrai.training import memory


def test_layers(call, home, monkeypatch):
    printed = call("summary", *TINY, "--classes", 3, "--json")
    assert printed.status == 0
    result = json.loads(printed.out)
    assert set(result) == {"layers", "parameters", "memory_bytes"}
    assert result["parameters"] == sum(layer["parameters"] for layer in result["layers"])
    assert result["memory_bytes"] > memory.BASE_BYTES
    assert result["layers"][0] == {
        "stage": "input",
        "name": "input",
        "kind": "Input",
        "shape": [1, 32, 32],
        "parameters": 0,
        "in_sum": False,
    }
    assert result["layers"][-1]["shape"] == [3]
    printed = call("summary", *TINY, "--classes", 3)
    assert (printed.status, printed.err) == (0, "")
    lines = printed.out.splitlines()
    assert len(lines) == len(result["layers"]) + 1
    assert "1 × 32 × 32" in lines[0]
    assert lines[-1].startswith(f"{result['parameters']:,} weights; training needs about 1.")
    monkeypatch.setattr("xrai.training.memory.read_machine_memory", lambda: LITTLE)
    for more in ([], ["--json"]):
        printed = call("summary", *TINY, *more)
        assert printed.status == 0
        assert printed.err.startswith("warning: Training this network")
    assert json.loads(printed.out)["parameters"]
    assert not list(home.iterdir())


def test_layers_of_a_model_and_of_what_cannot_be_built(call, model):
    assert json.loads(call("summary", "--weights", "m", "--json").out)["layers"][0]["shape"] == [1, 32, 32]
    assert_one_sentence(call("summary", "--classes", 1, "--json"), "2 to 1,000 classes, not 1")
    assert_one_sentence(call("summary", *TINY, "--dropout", 2, "--json"), "“Dropout” is 2.0")
    assert_one_sentence(call("summary", "--weights", "gone", "--json"), "no model “gone”")
