import json

from xrai.data.audit import load_audit
from xrai.data.dataset import open_dataset


def test_clean_audits_first_and_takes_out_what_a_list_names(call, doubled, tmp_path):
    out = doubled.with_name("clean.hdf5")
    assert call("clean", doubled, out, "--keep-near-duplicates").status == 0
    assert doubled.with_name("doubled.audit.json").is_file()
    names = tmp_path / "names.txt"
    names.write_text("again.png\n")
    listed = doubled.with_name("listed.hdf5")
    assert call("clean", doubled, listed, "--exclude", names).status == 0
    with open_dataset(listed) as dataset:
        assert "CLEAR/again.png" not in set(dataset.files)
        assert dataset.notes[-1].endswith("a list named them.")


def test_clean_keeps_what_a_list_says_to_keep(call, doubled, tmp_path):
    call("audit", "doubled")
    with open_dataset(doubled) as dataset:
        suggested = [dataset.files[row] for row in load_audit(dataset).rows_to_remove(["exact-duplicates"])]
        other = dataset.files[-1]
    kept, named, out = tmp_path / "kept.txt", tmp_path / "named.txt", doubled.with_name("clean.hdf5")
    kept.write_text("\n".join(suggested))
    only = ("--kinds", "exact-duplicates", "--keep", kept)
    assert "nothing to take out" in call("clean", doubled, out, *only).err
    named.write_text(f"{other}\n")
    printed = call("clean", doubled, out, *only, "--exclude", named, "--json")
    assert json.loads(printed.out)["removed"] == 1
    with open_dataset(out) as dataset:
        assert set(suggested) <= set(dataset.files)
        assert other not in dataset.files
        assert dataset.notes[-1].endswith("or a list named them; others that it found were kept on purpose.")


def test_what_cannot_be_cleaned_is_stated(call, doubled, tmp_path):
    out = doubled.with_name("clean.hdf5")
    assert "should end in .hdf5" in call("clean", doubled, out.with_suffix(".txt")).err
    assert "Give either" in call("clean", doubled, out, "--kinds", "exact-duplicates", "--keep-near-duplicates").err
    assert "cannot be read" in call("clean", doubled, out, "--exclude", tmp_path / "none.txt").err
    assert call("clean", doubled, out, "--kinds", "everything").status == 2
    doubled.with_name("doubled.audit.json").write_text("{")
    assert "is damaged: audit the dataset again" in call("clean", doubled, out).err
    assert not out.exists()
