import json


def test_look(call, home, drawings):
    printed = call("inspect", drawings, "--json")
    assert printed.status == 0
    assert set(json.loads(printed.out)["counts"]) == {"CLEAR", "OPACITY"}
    assert "CLEAR" in call("inspect", drawings).out
