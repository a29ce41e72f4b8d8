from wsss_toolkit.report.logs import read_log


def write(folder, start, text):
    (folder / f"from_{start}").mkdir(parents=True)
    (folder / f"from_{start}" / "metrics.csv").write_text(text)


def test_one_attempt_is_read_by_epoch(tmp_path):
    write(
        tmp_path, 0, "epoch,gates/open,step,train/loss,val/map\n0,,9,,0.5\n0,12.0,9,1.5,\n1,,19,,0.75\n1,11.0,19,1.0,\n"
    )
    assert read_log(tmp_path) == {
        "val/map": [(1, 0.5), (2, 0.75)],
        "gates/open": [(1, 12.0), (2, 11.0)],
        "train/loss": [(1, 1.5), (2, 1.0)],
    }


def test_a_resumed_training_goes_on_where_its_last_checkpoint_was(tmp_path):
    # Killed in epoch 2 (from 0) after its validation had been logged; done again from there.
    write(tmp_path, 0, "epoch,step,train/loss,val/map\n0,9,1.5,0.5\n1,19,1.2,0.6\n2,29,,0.1\n")
    write(tmp_path, 2, "epoch,step,train/loss,val/map\n2,29,1.1,0.7\n3,39,1.0,0.8\n")
    write(tmp_path, 10, "epoch,step,train/loss\n10,99,0.5\n")
    found = read_log(tmp_path)
    assert found["val/map"] == [(1, 0.5), (2, 0.6), (3, 0.7), (4, 0.8)]
    assert found["train/loss"][-1] == (11, 0.5)


def test_rows_that_were_cut_short_are_left_out(tmp_path):
    write(tmp_path, 0, "epoch,step,train/loss\n0,9,1.5\n1,19,1.2\n,2\n2,29,0.\x00x\n")
    assert read_log(tmp_path) == {"train/loss": [(1, 1.5), (2, 1.2)]}
    assert read_log(tmp_path / "nowhere") == {}
