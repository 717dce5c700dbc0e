"""Where a person finds a running trial by its name: the name of its actor."""

import pytest

from sweeps.trial.actor import named_trainable


@pytest.mark.parametrize(("reuse", "shown"), [(False, "clip-0003"), (True, "clip-0003 and later trials")])
def test_an_actor_is_called_as_its_trial(reuse, shown):
    trainable = named_trainable(lambda config: None, reuse)
    actor = trainable.__new__(trainable)  # what Ray asks for the name is not yet training
    actor.config = {"name": "clip-0003"}
    assert repr(actor) == shown
    assert trainable.__qualname__ == "StclipTrial"
