"""Loss and accuracy of the reward models over epochs."""

import pytest
from fakes.analysis_tree import write_labels_and_rewards

from sensei.core.errors import SenseiError
from sensei.study.layout import Layout


def test_the_chosen_epoch_is_marked(study, layout, drawn):
    drawing = drawn("reward_model", study, layout)
    assert "96.2% (epoch 3)" in drawing.caption and "noisy oracle" in drawing.caption
    assert len(drawing.figure.axes) == 2 * len(study.environments)
    rings = [line for line in drawing.figure.axes[0].lines if line.get_marker() == "o"]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in rings] == [(3, 0.9625)] * len(study.annotators)


@pytest.mark.parametrize("name", ["curves", "card"])
def test_missing_and_damaged_files_are_named(study, tmp_path, drawn, name):
    layout = Layout(tmp_path)
    write_labels_and_rewards(study, layout)
    path = getattr(layout.reward("minihack_keyroom_s15", "noisy_oracle"), name)
    path.write_text("epo")
    with pytest.raises(SenseiError, match=f"noisy_oracle/{path.name}"):
        drawn("reward_model", study, layout)
    path.unlink()
    with pytest.raises(SenseiError, match=f"no .*noisy_oracle/{path.name}"):
        drawn("reward_model", study, layout)
